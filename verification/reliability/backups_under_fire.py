"""Backups under fire: a backfill whose transfers break in every way that heals, workers killed in between."""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from local.build import HOST_RUNTIME
from local.stack.stack import Stack
from local.stand_ins.firestream.data import FILE_TYPES
from verification.reliability.checker import ArchiveAccounts
from verification.reliability.holds import Holds, altered, left, visibility
from verification.reliability.page import Section, table
from verification.reliability.workers import Killer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIMES = 100
"""A request that failed comes back so many times sooner."""

LONGEST_HOLD_SECONDS = 10
VISIBILITY_SECONDS = 60
"""What a killed worker was about comes back so soon: longer than any of these transfers takes."""

FIRST_DAY = date(2015, 3, 1)
SHARE_OF_FAULTS = 1 / 3
FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("stall", {"seconds": 3.0}),
    ("500", {}),
    ("503", {}),
    ("truncated", {}),
    ("truncated-undeclared", {}),
    ("truncated-undeclared", {"chunked": True}),
    ("reset", {}),
    ("stall", {"seconds": 20.0}),
    ("expired", {"after": 0.5}),
    ("changed", {}),
    ("link-503", {}),
    ("no-range", {}),
    ("flipped-byte", {}),
    ("trailing-garbage", {}),
    ("not-json", {}),
    ("empty", {}),
    ("content-encoding", {}),
    ("cut", {}),
    ("no-length", {}),
)
"""Each strikes a file once; the relay is silent for 15 s at most, so that the longer stall breaks a transfer."""


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        seed: Of all its choices.
        days: How many days are asked for, of each file type.
        kill_pauses: The shortest and the longest time between two kills.
        kills: How many workers are killed.
        patience_seconds: When it is over, finished or not.
    """

    seed: int
    days: int
    kill_pauses: tuple[float, float]
    kills: int
    patience_seconds: float


FULL = Plan(seed=20261122, days=60, kill_pauses=(4, 9), kills=25, patience_seconds=600)


@dataclass
class Run:
    """What was done and seen."""

    plan: Plan
    planned: Counter[str] = field(default_factory=Counter)
    kills: Sequence[float] = ()
    asked: int = 0
    buried: int = 0
    aborted: int = 0
    seconds: float = 0
    transfers: int = 0
    accounts: ArchiveAccounts = field(default_factory=lambda: ArchiveAccounts({}, {}, (), ()))


def prove() -> Section:
    """Do the full run on a stack of its own."""
    with Stack(enforce_iam=True) as stack:
        run = fire(stack, FULL, print)
    return Section.of(_in_words(run), run.accounts.complaints())


def fire(stack: Stack, plan: Plan, say: Callable[[str], None] = lambda _: None) -> Run:
    """Do a run; the stack's archive must have nothing of that year yet.

    Args:
        stack: The deployed stack; its functions get their own settings back afterwards.
        plan: What to do.
        say: Told now and then how far it is.
    """
    run = Run(plan)
    choice = random.Random(plan.seed)
    stack.firestream.reset()
    _plan_faults(stack, run, choice)
    began = time.monotonic()
    with ExitStack() as stage:
        holds = stage.enter_context(Holds(stack.emulator.url, stack.client("sqs"), TIMES, LONGEST_HOLD_SECONDS))
        stage.enter_context(altered(stack, "FetchBackupsFunction", AWS_ENDPOINT_URL_SQS=holds.url))
        stage.enter_context(visibility(stack, "BackupRequestsQueue", VISIBILITY_SECONDS))
        function = stack.outputs["FetchBackupsFunctionName"]
        with Killer(stack.emulator.url, [function], choice, plan.kill_pauses, plan.kills) as killer:
            while time.monotonic() - began < plan.patience_seconds and _ask(stack, run):
                _wait(stack, plan.patience_seconds - (time.monotonic() - began), say)
        run.kills = killer.kills
    run.seconds = time.monotonic() - began
    _account(stack, run)
    return run


def _files(plan: Plan) -> list[tuple[str, date]]:
    return [(kind, FIRST_DAY + timedelta(days=day)) for day in range(plan.days) for kind in FILE_TYPES]


def _key(file_type: str, day: date) -> str:
    return f"{file_type}/{day:%Y/%m/%d}/stocktwits_{file_type}_{day:%Y_%m_%d}.gz"


def _plan_faults(stack: Stack, run: Run, choice: random.Random) -> None:
    """Let every fault strike in turn, each time another file; `no-range` only tells when a transfer goes on."""
    files = _files(run.plan)
    for number, (file_type, day) in enumerate(choice.sample(files, round(len(files) * SHARE_OF_FAULTS))):
        fault, details = FAULTS[number % len(FAULTS)]
        if fault == "no-range":
            stack.firestream.fail("truncated", file_type=file_type, day=day)
        stack.firestream.fail(fault, file_type=file_type, day=day, **details)
        run.planned[fault] += 1


def _ask(stack: Stack, run: Run) -> int:
    """Ask for what is missing, as docs/backups.md says: as often as you like; return how many files that was."""
    first, last = (day for _, day in (_files(run.plan)[0], _files(run.plan)[-1]))
    event = {"first_day": first.isoformat(), "last_day": last.isoformat()}
    answer = stack.client("lambda").invoke(
        FunctionName=stack.outputs["FetchBackupsFunctionName"], Payload=json.dumps(event)
    )
    told = json.loads(answer["Payload"].read())
    queued = len(_files(run.plan)) if "FunctionError" in answer else told["queued"]  # a kill met it: ask again
    run.asked += 1
    return int(queued)


def _wait(stack: Stack, seconds: float, say: Callable[[str], None]) -> None:
    """Wait until no request is left."""
    began = said = time.monotonic()
    while (waiting := left(stack, "BackupRequestsQueue")) and time.monotonic() - began < seconds:
        if time.monotonic() - said > 15:  # noqa: PLR2004
            said = time.monotonic()
            say(f"{said - began:4.0f} s: {waiting} requests left")
        time.sleep(0.5)


def _account(stack: Stack, run: Run) -> None:
    s3, bucket = stack.client("s3"), stack.outputs["BackupBucketName"]
    list_all = s3.get_paginator("list_objects_v2").paginate
    of_the_year = [list_all(Bucket=bucket, Prefix=f"{each}/{FIRST_DAY:%Y}/") for each in FILE_TYPES]
    keys = [each["Key"] for pages in of_the_year for page in pages for each in page.get("Contents", [])]
    uploads = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    run.transfers = sum(seen.host == "link" for seen in stack.firestream.requests)
    run.buried = left(stack, "BackupFailuresQueue")
    run.accounts = ArchiveAccounts(
        expected={_key(*file): _digest(stack.firestream.content(*file)) for file in _files(run.plan)},
        stored={key: _digest(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys},
        uploads=[(each["Key"], each["Initiated"].timestamp()) for each in uploads],
        kills=run.kills,
        waiting={"BackupRequestsQueue": left(stack, "BackupRequestsQueue")},
    )
    for each in uploads:  # what the bucket's rule does after a day, which the emulator does not
        s3.abort_multipart_upload(Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"])
        run.aborted += 1


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


_PAGE = """\
## Backups under fire

A backfill of {days} days of both file types, on the deployed stack (IAM enforced). A third of the files met a fault at
Firestream, each fault that heals in turn; meanwhile workers were killed (`kill -9`) in the middle of whatever they did.
When no request was left, an operator asked for what was missing, until nothing was.

{outcomes}

{deeds}

It took {seconds:.0f} s, seed {seed}, {python}, {processors} processors.

A killed worker cannot take its upload back; the bucket's lifecycle rule does so within a day. The emulator has no such
rule: the run counts what is unfinished (at most one for each kill, begun before it), and aborts it in the rule's place.

So that hours fit into minutes, without a change to the code under test: a request that failed came back {times} times
sooner, after {longest} s at most (the run asked SQS for a shorter hold; a proxy between the function and SQS gave it
the receipt handles), one of a killed worker after {visibility} s instead of 90 minutes (the queue's
`VisibilityTimeout`).
"""


def _in_words(run: Run) -> str:
    accounts = run.accounts
    same = sum(accounts.expected.get(key) == digest for key, digest in accounts.stored.items())
    outcomes: list[list[object]] = [
        ["files asked for", len(accounts.expected)],
        ["in the archive, byte for byte Firestream's", same],
        ["**missing**", len(accounts.expected.keys() - accounts.stored.keys())],
        ["**in the archive, but different**", len(accounts.stored) - same],
        ["unfinished uploads of killed workers", len(accounts.uploads) - len(accounts.dangling())],
        ["**unfinished uploads of workers that live**", len(accounts.dangling())],
        ["requests left", sum(accounts.waiting.values())],
    ]
    deeds: list[list[object]] = [
        ["workers killed", len(run.kills)],
        ["transfers begun or taken up again", run.transfers],
        ["times that an operator asked for what was missing", run.asked],
        ["requests that ended in BackupFailures", run.buried],
        *(["`" + name + "`", count] for name, count in sorted(run.planned.items())),
    ]
    return _PAGE.format(
        days=run.plan.days,
        outcomes=table(["What is there at the end", "number"], outcomes),
        deeds=table(["What was done to it", "times"], deeds),
        seconds=run.seconds,
        seed=run.plan.seed,
        python=HOST_RUNTIME.replace("python", "Python "),
        processors=os.cpu_count(),
        times=TIMES,
        longest=LONGEST_HOLD_SECONDS,
        visibility=VISIBILITY_SECONDS,
    )
