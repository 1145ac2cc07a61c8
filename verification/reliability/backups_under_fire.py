"""Backups under faults: a backfill with every transient fault of a transfer, and workers being killed."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from relay.backups.backup import Backup
from relay.backups.runs import SECOND_LOOK_SECONDS

from local.build import HOST_RUNTIME
from local.stack.stack import Stack
from local.stand_ins.firestream.data import ACTIVITY, FILE_TYPES
from verification.reliability import backup_nights
from verification.reliability.archive_checker import ArchiveChecker, Content, read
from verification.reliability.archive_state import ArchiveState, invoke
from verification.reliability.page import Section, table
from verification.reliability.visibility import VisibilityProxy, depth, visibility_timeout, with_environment
from verification.reliability.workers import Killer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TIMES = 100
"""The factor by which a failed request returns sooner."""

LONGEST_VISIBILITY_SECONDS = 10
VISIBILITY_SECONDS = 60
"""When the requests of a killed worker return: longer than any of these transfers takes."""

FIRST_DAY = date(2015, 3, 1)
SHARE_OF_FAULTS = 1 / 3
SHARE_OF_ODD_CONTENTS = 1 / 4
FAULTS: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("stall", {"seconds": 3.0}),
    ("500", {}),
    ("retry-after", {"seconds": 2}),
    ("truncated", {}),
    ("truncated-undeclared", {}),
    ("damaged", {"form": "length"}),
    ("truncated-undeclared", {"chunked": True}),
    ("retry-after", {"seconds": 3600, "form": "http-date"}),
    ("reset", {}),
    ("stall", {"seconds": 20.0}),
    ("expired", {"after": 0.5}),
    ("changed", {}),
    ("retry-after", {"seconds": 2, "host": "link", "status": 503}),
    ("503", {}),
    ("link-503", {}),
    ("no-range", {}),
    ("flipped-byte", {}),
    ("trailing-garbage", {}),
    ("empty", {}),
    ("content-encoding", {}),
    ("damaged", {"form": "second-member"}),
    ("cut", {}),
    ("no-length", {}),
)
"""Each affects a file once. The relay waits 15 s for data at most, so the longer stall breaks a transfer. It does not
wait an hour within an invocation, but holds the request."""

ODD_CONTENTS: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("bad-lines", {"count": 2}),
    ("crlf", {}),
    ("odd-values", {"form": "nan"}),
    ("byte-order-mark", {}),
    ("empty-lines", {"count": 3}),
    ("bad-lines", {"form": "not-utf-8", "places": [0]}),
    ("long-line", {}),
    ("members", {"form": "within"}),
    ("odd-values", {"form": "lone-surrogate"}),
    ("two-members", {}),
    ("odd-values", {"form": "duplicate-keys"}),
    ("members", {"form": "padded"}),
    ("spaces", {"form": "both"}),
    ("no-last-line-feed", {}),
)
"""Each is so for a file whenever it is fetched."""


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        seed: The seed of all its choices.
        days: How many days are requested, of each file type.
        late: How many files are not there when they are first asked for, but at the second look.
        absent: How many files are never there.
        kill_pauses: The shortest and the longest time between two kills.
        kills: How many workers are killed.
        max_seconds: After how long the run ends, finished or not.
    """

    seed: int
    days: int
    late: int
    absent: int
    kill_pauses: tuple[float, float]
    kills: int
    max_seconds: float


FULL = Plan(seed=20261126, days=60, late=3, absent=2, kill_pauses=(4, 9), kills=25, max_seconds=1200)


@dataclass
class Run:
    """What a run did, and what was observed."""

    plan: Plan
    faults: Counter[str] = field(default_factory=Counter)
    contents: Counter[str] = field(default_factory=Counter)
    absent: list[Backup] = field(default_factory=list)
    kills: Sequence[float] = ()
    backfills: int = 0
    seconds: float = 0
    transfers: int = 0
    checker: ArchiveChecker = field(default_factory=lambda: ArchiveChecker({}, {}))


def prove() -> Section:
    """Do the full runs on a stack of their own: a backfill, then nights."""
    with Stack(enforce_iam=True) as stack:
        run = fire(stack, FULL, print)
        nights = backup_nights.fire(stack, backup_nights.FULL, print)
    text = f"{_page_text(run)}\n{backup_nights.page_text(nights)}"
    return Section.of(text, [*run.checker.violations(), *nights.checker.violations()])


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


def _files(plan: Plan) -> list[Backup]:
    return [Backup(FIRST_DAY + timedelta(days=day), kind) for day in range(plan.days) for kind in FILE_TYPES]


def _plan_faults(stack: Stack, run: Run, choice: random.Random) -> None:
    """Plan each fault and each odd content in turn, for another file each time.

    `no-range` has an effect only when a transfer resumes.
    """
    plan, firestream, files = run.plan, stack.firestream, _files(run.plan)
    faults, contents = round(len(files) * SHARE_OF_FAULTS), round(len(files) * SHARE_OF_ODD_CONTENTS)
    chosen = iter(choice.sample(files, faults + contents + plan.late + plan.absent))
    for number in range(faults):
        file = next(chosen)
        fault, details = FAULTS[number % len(FAULTS)]
        if fault == "no-range":
            firestream.fail("truncated", file_type=file.file_type, day=file.day)
        firestream.fail(fault, file_type=file.file_type, day=file.day, **details)
        run.faults[fault] += 1
    for number in range(contents):
        file = next(chosen)
        content, details = ODD_CONTENTS[number % len(ODD_CONTENTS)]
        firestream.fail(content, times=None, file_type=file.file_type, day=file.day, **details)
        run.contents[content] += 1
    for _ in range(plan.late):
        file = next(chosen)
        firestream.fail("late", times=None, file_type=file.file_type, day=file.day, asked=1)
    run.absent = list(chosen)
    for file in run.absent:
        firestream.put(file.file_type, file.day, None)


def _backfill(stack: Stack, run: Run) -> int:
    """Request the missing files with a backfill, which may be repeated; return how many they were."""
    first, last = (each.day for each in (_files(run.plan)[0], _files(run.plan)[-1]))
    result = invoke(stack, {"first_day": first.isoformat(), "last_day": last.isoformat()})
    run.backfills += 1
    return len(_files(run.plan)) if result is None else int(result["queued"])  # None: it was killed, repeat it


def _wait(stack: Stack, seconds: float, on_progress: Callable[[str], None]) -> None:
    """Wait until no request is left."""
    began = reported = time.monotonic()
    while (waiting := depth(stack, "BackupRequestsQueue")) and time.monotonic() - began < seconds:
        if time.monotonic() - reported > 15:  # noqa: PLR2004
            reported = time.monotonic()
            on_progress(f"{reported - began:4.0f} s: {waiting} requests left")
        time.sleep(0.5)


def _check(stack: Stack, run: Run) -> None:
    firestream, files = stack.firestream, _files(run.plan)
    run.transfers = firestream.counted(kind="body")
    state = ArchiveState(stack, files)
    run.checker = ArchiveChecker(
        offered={file.key: _offered(stack, file) for file in files},
        stored=state.stored(),
        uploads=state.uploads(),
        kills=run.kills,
        waiting=state.waiting(),
        failures=state.failures(datetime.now(UTC).date()),
        damaged=state.damaged(),
        absent=[file.key for file in run.absent],
        notes=state.notes(),
    )


def _offered(stack: Stack, file: Backup) -> list[Content]:
    """Return what Firestream offers for a file, unless it is absent."""
    firestream = stack.firestream
    offered = firestream.offered(file.file_type, file.day)
    usual = firestream.activities_per_day if file.file_type == ACTIVITY else firestream.messages_per_day
    content = read(offered.read(), usual) if offered else None
    return [content] if content else []


_PAGE = """\
## Backups under faults

### A backfill

A backfill of {days} days of both file types ran on the deployed stack (with IAM enforced). A third of the files had a
fault at Firestream, each of the transient faults in turn; a quarter had odd contents, each in turn; {late} files were
not there when they were first asked for, and {absent} never. At the same time, workers were killed (`kill -9`).
Whenever no request was left, an operator requested the missing files again, until none was missing.

{outcomes}

{injected}

It took {seconds:.0f} s (a file that is not there is asked for once more after {second_look} s), seed {seed}, {python},
{processors} processors.

A killed worker cannot abort its upload; the bucket's lifecycle rule does so within a day. The emulator has no such
rule, so the run counts the unfinished uploads (at most one for each kill, started before it), and aborts them itself.

To fit hours into minutes, without changes to the tested code: a failed request returned {times} times sooner, after
{longest} s at most (the run shortened its visibility timeout; a proxy between the function and SQS gave it the receipt
handles), and a killed worker's request after {visibility} s instead of 90 minutes (the queue's `VisibilityTimeout`).
"""


def _page_text(run: Run) -> str:
    checker = run.checker
    outcomes: list[list[object]] = [
        ["files requested", len(checker.offered)],
        ["in the archive, identical to Firestream's", len(checker.current())],
        ["noted as absent, after a second look", len(set(checker.notes) & set(checker.absent))],
        ["**missing**", len(checker.missing())],
        ["**in the archive, but different**", len(checker.different())],
        ["with odd lines, which a remark says", sum("odd" in each.remarks for each in checker.stored.values())],
        ["**tags or remarks that are wrong or missing**", len(list(checker.untold()))],
        ["unfinished uploads of killed workers", len(checker.uploads) - len(checker.dangling())],
        ["**unfinished uploads of other workers**", len(checker.dangling())],
        ["**requests that ended in BackupFailures**", sum(map(len, checker.failures.values()))],
        ["requests left", sum(checker.waiting.values())],
    ]
    injected: list[list[object]] = [
        ["workers killed", len(run.kills)],
        ["transfers started or resumed", run.transfers],
        ["backfills that an operator requested", run.backfills],
        *(["fault `" + name + "`", count] for name, count in sorted(run.faults.items())),
        *(["content `" + name + "`", count] for name, count in sorted(run.contents.items())),
    ]
    return _PAGE.format(
        days=run.plan.days,
        late=run.plan.late,
        absent=run.plan.absent,
        outcomes=table(["result", "number"], outcomes),
        injected=table(["injected", "times"], injected),
        seconds=run.seconds,
        second_look=SECOND_LOOK_SECONDS,
        seed=run.plan.seed,
        python=HOST_RUNTIME.replace("python", "Python "),
        processors=os.cpu_count(),
        times=TIMES,
        longest=LONGEST_VISIBILITY_SECONDS,
        visibility=VISIBILITY_SECONDS,
    )
