"""Backups under faults: a backfill with every transient fault of a transfer, and workers being killed."""

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
from verification.reliability.checker import ArchiveChecker
from verification.reliability.page import Section, table
from verification.reliability.visibility import VisibilityProxy, depth, visibility_timeout, with_environment
from verification.reliability.workers import Killer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIMES = 100
"""The factor by which a failed request returns sooner."""

LONGEST_VISIBILITY_SECONDS = 10
VISIBILITY_SECONDS = 60
"""When the requests of a killed worker return: longer than any of these transfers takes."""

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
"""Each affects a file once. The relay waits 15 s for data at most, so the longer stall breaks a transfer."""


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        seed: The seed of all its choices.
        days: How many days are requested, of each file type.
        kill_pauses: The shortest and the longest time between two kills.
        kills: How many workers are killed.
        max_seconds: After how long the run ends, finished or not.
    """

    seed: int
    days: int
    kill_pauses: tuple[float, float]
    kills: int
    max_seconds: float


FULL = Plan(seed=20261122, days=60, kill_pauses=(4, 9), kills=25, max_seconds=600)


@dataclass
class Run:
    """What a run did, and what was observed."""

    plan: Plan
    planned: Counter[str] = field(default_factory=Counter)
    kills: Sequence[float] = ()
    backfills: int = 0
    failed: int = 0
    aborted: int = 0
    seconds: float = 0
    transfers: int = 0
    checker: ArchiveChecker = field(default_factory=lambda: ArchiveChecker({}, {}, (), ()))


def prove() -> Section:
    """Do the full run on its own stack."""
    with Stack(enforce_iam=True) as stack:
        run = fire(stack, FULL, print)
    return Section.of(_page_text(run), run.checker.violations())


def fire(stack: Stack, plan: Plan, on_progress: Callable[[str], None] = lambda _: None) -> Run:
    """Do a run; the stack's archive must contain nothing of that year yet.

    Args:
        stack: The deployed stack; the functions' settings are restored afterwards.
        plan: What to do.
        on_progress: Called with the progress from time to time.
    """
    run = Run(plan)
    choice = random.Random(plan.seed)
    stack.firestream.reset()
    _plan_faults(stack, run, choice)
    began = time.monotonic()
    with ExitStack() as contexts:
        proxy = contexts.enter_context(
            VisibilityProxy(stack.emulator.url, stack.client("sqs"), TIMES, LONGEST_VISIBILITY_SECONDS)
        )
        contexts.enter_context(with_environment(stack, "FetchBackupsFunction", AWS_ENDPOINT_URL_SQS=proxy.url))
        contexts.enter_context(visibility_timeout(stack, "BackupRequestsQueue", VISIBILITY_SECONDS))
        function = stack.outputs["FetchBackupsFunctionName"]
        with Killer(stack.emulator.url, [function], choice, plan.kill_pauses, plan.kills) as killer:
            while time.monotonic() - began < plan.max_seconds and _backfill(stack, run):
                _wait(stack, plan.max_seconds - (time.monotonic() - began), on_progress)
        run.kills = killer.kills
    run.seconds = time.monotonic() - began
    _check(stack, run)
    return run


def _files(plan: Plan) -> list[tuple[str, date]]:
    return [(kind, FIRST_DAY + timedelta(days=day)) for day in range(plan.days) for kind in FILE_TYPES]


def _key(file_type: str, day: date) -> str:
    return f"{file_type}/{day:%Y/%m/%d}/stocktwits_{file_type}_{day:%Y_%m_%d}.gz"


def _plan_faults(stack: Stack, run: Run, choice: random.Random) -> None:
    """Plan each fault in turn, for another file each time; `no-range` has an effect only when a transfer resumes."""
    files = _files(run.plan)
    for number, (file_type, day) in enumerate(choice.sample(files, round(len(files) * SHARE_OF_FAULTS))):
        fault, details = FAULTS[number % len(FAULTS)]
        if fault == "no-range":
            stack.firestream.fail("truncated", file_type=file_type, day=day)
        stack.firestream.fail(fault, file_type=file_type, day=day, **details)
        run.planned[fault] += 1


def _backfill(stack: Stack, run: Run) -> int:
    """Request the missing files with a backfill, which may be repeated; return how many they were."""
    first, last = (day for _, day in (_files(run.plan)[0], _files(run.plan)[-1]))
    event = {"first_day": first.isoformat(), "last_day": last.isoformat()}
    answer = stack.client("lambda").invoke(
        FunctionName=stack.outputs["FetchBackupsFunctionName"], Payload=json.dumps(event)
    )
    result = json.loads(answer["Payload"].read())
    queued = len(_files(run.plan)) if "FunctionError" in answer else result["queued"]  # it was killed: repeat it
    run.backfills += 1
    return int(queued)


def _wait(stack: Stack, seconds: float, on_progress: Callable[[str], None]) -> None:
    """Wait until no request is left."""
    began = reported = time.monotonic()
    while (waiting := depth(stack, "BackupRequestsQueue")) and time.monotonic() - began < seconds:
        if time.monotonic() - reported > 15:  # noqa: PLR2004
            reported = time.monotonic()
            on_progress(f"{reported - began:4.0f} s: {waiting} requests left")
        time.sleep(0.5)


def _check(stack: Stack, run: Run) -> None:
    s3, bucket = stack.client("s3"), stack.outputs["BackupBucketName"]
    list_all = s3.get_paginator("list_objects_v2").paginate
    of_the_year = [list_all(Bucket=bucket, Prefix=f"{each}/{FIRST_DAY:%Y}/") for each in FILE_TYPES]
    keys = [each["Key"] for pages in of_the_year for page in pages for each in page.get("Contents", [])]
    uploads = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    run.transfers = sum(seen.host == "link" for seen in stack.firestream.requests)
    run.failed = depth(stack, "BackupFailuresQueue")
    run.checker = ArchiveChecker(
        expected={_key(*file): _digest(stack.firestream.content(*file)) for file in _files(run.plan)},
        stored={key: _digest(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys},
        uploads=[(each["Key"], each["Initiated"].timestamp()) for each in uploads],
        kills=run.kills,
        waiting={"BackupRequestsQueue": depth(stack, "BackupRequestsQueue")},
    )
    for each in uploads:  # as the bucket's lifecycle rule does, which the emulator does not have
        s3.abort_multipart_upload(Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"])
        run.aborted += 1


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


_PAGE = """\
## Backups under faults

A backfill of {days} days of both file types ran on the deployed stack (with IAM enforced). A third of the files had a
fault at Firestream, each of the transient faults in turn. At the same time, workers were killed (`kill -9`). Whenever
no request was left, an operator requested the missing files again, until none was missing.

{outcomes}

{injected}

It took {seconds:.0f} s, seed {seed}, {python}, {processors} processors.

A killed worker cannot abort its upload; the bucket's lifecycle rule does so within a day. The emulator has no such
rule, so the run counts the unfinished uploads (at most one for each kill, started before it), and aborts them itself.

To fit hours into minutes, without changes to the tested code: a failed request returned {times} times sooner, after
{longest} s at most (the run shortened its visibility timeout; a proxy between the function and SQS gave it the receipt
handles), and a killed worker's request after {visibility} s instead of 90 minutes (the queue's `VisibilityTimeout`).
"""


def _page_text(run: Run) -> str:
    checker = run.checker
    same = sum(checker.expected.get(key) == digest for key, digest in checker.stored.items())
    outcomes: list[list[object]] = [
        ["files requested", len(checker.expected)],
        ["in the archive, identical to Firestream's", same],
        ["**missing**", len(checker.expected.keys() - checker.stored.keys())],
        ["**in the archive, but different**", len(checker.stored) - same],
        ["unfinished uploads of killed workers", len(checker.uploads) - len(checker.dangling())],
        ["**unfinished uploads of other workers**", len(checker.dangling())],
        ["requests left", sum(checker.waiting.values())],
    ]
    injected: list[list[object]] = [
        ["workers killed", len(run.kills)],
        ["transfers started or resumed", run.transfers],
        ["backfills that an operator requested", run.backfills],
        ["requests that ended in BackupFailures", run.failed],
        *(["`" + name + "`", count] for name, count in sorted(run.planned.items())),
    ]
    return _PAGE.format(
        days=run.plan.days,
        outcomes=table(["result", "number"], outcomes),
        injected=table(["injected", "times"], injected),
        seconds=run.seconds,
        seed=run.plan.seed,
        python=HOST_RUNTIME.replace("python", "Python "),
        processors=os.cpu_count(),
        times=TIMES,
        longest=LONGEST_VISIBILITY_SECONDS,
        visibility=VISIBILITY_SECONDS,
    )
