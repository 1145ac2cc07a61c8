"""Nightly runs under faults, while Firestream's files come late, change, are withdrawn, or are not whole for a while.

The function's clock cannot be moved, so all nights are on one day; Firestream's clock goes on by a day between them.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from relay.backups.backup import Backup
from relay.backups.runs import REQUEST_RECEIVES

from local.build import HOST_RUNTIME
from local.stand_ins.firestream.data import ACTIVITY, FILE_TYPES
from verification.reliability.archive_checker import ArchiveChecker, Content, Cost, digest, read
from verification.reliability.archive_state import ArchiveState, invoke
from verification.reliability.backup_stories import OUTAGE, SPOILED, STORIES, Step, begin, spoil
from verification.reliability.page import table
from verification.reliability.visibility import VisibilityProxy, depth, visibility_timeout, with_environment
from verification.reliability.workers import Killer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local.stack.stack import Stack

LONGEST_VISIBILITY_SECONDS = 1
"""A failed request returns so soon that it is received 50 times, and given up, within two minutes."""

VISIBILITY_SECONDS = 20
"""When the requests of a killed worker return: longer than any of these transfers takes."""

QUIET_NIGHTS = 2
"""Nights at the end in which nothing changes and nothing fails."""

HOLD_NIGHT = 2
"""In this night Firestream asks to wait for longer than the relay waits within an invocation."""

DAY_SECONDS = 86_400
MOST_INVOCATIONS = 30
"""How often a night is invoked that a kill ends each time."""

ON_THE_WAY: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("500", {}),
    ("retry-after", {"seconds": 2}),
    ("link-503", {}),
    ("retry-after", {"seconds": 2, "host": "link", "status": 503}),
    ("503", {}),
)
"""Each affects one request for a file, whether it has changed or not."""

OF_A_TRANSFER: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("truncated", {}),
    ("flipped-byte", {}),
    ("reset", {}),
    ("stall", {"seconds": 3.0}),
    ("cut", {}),
    ("expired", {"after": 0.5}),
    ("truncated-undeclared", {"chunked": True}),
    ("damaged", {}),
    ("empty", {}),
    ("no-length", {}),
)
"""Each affects one transfer of a file that is new or has changed."""


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        seed: The seed of all its choices.
        lookback_days: How many days the window of a nightly run has.
        outage_days: For how many of the oldest of them Firestream has nothing in the first nights.
        nights: How many nights there are before the quiet ones.
        faults: How many faults each of them has, of each kind.
        stories: What happens to files.
        spoiled: What happens to files that are not whole for a while.
        hold_seconds: For how long Firestream asks to wait in one of the nights; 0: in none.
        kill_pauses: The shortest and the longest time between two kills.
        kills: How many workers are killed.
        night_seconds: After how long a night ends, finished or not.
    """

    seed: int
    lookback_days: int
    outage_days: int
    nights: int
    faults: int
    stories: Sequence[str]
    spoiled: Sequence[str]
    hold_seconds: int
    kill_pauses: tuple[float, float]
    kills: int
    night_seconds: float


FULL = Plan(
    seed=20261126,
    lookback_days=20,
    outage_days=3,
    nights=5,
    faults=5,
    stories=tuple(STORIES),
    spoiled=tuple(SPOILED),
    hold_seconds=40,
    kill_pauses=(2, 6),
    kills=60,
    night_seconds=900,
)


@dataclass
class Run:
    """What a run did, and what was observed."""

    plan: Plan
    stories: dict[Backup, str] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    kills: Sequence[float] = ()
    invocations: int = 0
    errors: int = 0
    transfers: int = 0
    held_off: int = 0
    seconds: float = 0
    checker: ArchiveChecker = field(default_factory=lambda: ArchiveChecker({}, {}))


class Nights:
    """The nights of a run, one after another."""

    def __init__(self, stack: Stack, plan: Plan, on_progress: Callable[[str], None]) -> None:
        """Deal the stories to the files of the window."""
        self.run = Run(plan)
        self._stack = stack
        self._firestream = stack.firestream
        self._choice = random.Random(plan.seed)
        self._on_progress = on_progress
        self._began = time.time()
        self._night = 0
        self.today = datetime.now(UTC).date()
        days = [self.today - timedelta(days=age) for age in range(plan.lookback_days, 0, -1)]
        self.files = [Backup(day, file_type) for day in days for file_type in FILE_TYPES]
        outage = self.files[: plan.outage_days * len(FILE_TYPES)]
        self._steps: dict[Backup, Sequence[Step]] = dict.fromkeys(outage, OUTAGE)
        others = self._choice.sample(self.files[len(outage) :], len(plan.stories) + len(plan.spoiled))
        dealt = dict(zip(others, (*plan.stories, *plan.spoiled), strict=True))
        self._steps |= {file: STORIES[story] for file, story in dealt.items() if story in STORIES}
        self._spoiled = {file: story for file, story in dealt.items() if story in SPOILED}
        self.run.stories = dict.fromkeys(outage, f"{plan.outage_days} days without files for three nights") | dealt
        self.offered: dict[Backup, list[Content]] = {file: [] for file in self.files}
        self.spoiled: dict[str, str] = {}
        self.quiet: list[dict[str, Cost]] = []
        self.unnamed = 0
        self.held = 0.0, 0.0
        self._last: dict[Backup, bytes | None] = {}

    def clock(self) -> float:
        """Return Firestream's time: a day later each night."""
        return time.time() + self._night * DAY_SECONDS

    def moment(self, night: int) -> float:
        """Return a moment of Firestream's time between a night and the one before."""
        return self._began + night * DAY_SECONDS - DAY_SECONDS / 2

    def prepare(self) -> None:
        """Plan which file each day has in which night."""
        for file, story in self._spoiled.items():
            content = spoil(self._firestream, file, story, self.moment)
            self.spoiled[file.key] = digest(content) if content else ""

    def pass_one(self) -> None:
        """Do a night with faults, and note what Firestream offers at its end."""
        for file, steps in self._steps.items():
            begin(self._firestream, file, steps, self.moment, self._night)
        self._plan_faults([file for file in self.files if self._content(file) != self._last.get(file)])
        if self.run.plan.hold_seconds and self._night == HOLD_NIGHT:
            self.held = time.time(), time.time() + self.run.plan.hold_seconds
            self._firestream.fail("retry-after", times=None, until=self.clock() + self.run.plan.hold_seconds)
        self._invoke()
        self._note()
        self._night += 1

    def pass_quietly(self) -> None:
        """Do a night in which nothing has changed, and count what it costs."""
        before, requests = self._counted(), len(self._firestream.requests)
        self._invoke()
        cost = {
            file.key: Cost(*(now - then for now, then in zip(counts, before[file], strict=True)))
            for file, counts in self._counted().items()
        }
        self.quiet.append(cost)
        named = sum(each.small + each.body for each in cost.values())
        self.unnamed += len(self._firestream.requests) - requests - named
        self._note()
        self._night += 1

    def held_off(self) -> int:
        """Return how many requests were answered with the wait that is too long for an invocation."""
        return sum(planned.details.get("until") is not None for _, _, planned in self._firestream.faulted)

    def _invoke(self) -> None:
        """Invoke the nightly run, again as Lambda does if its worker was killed, and wait until no request is left."""
        began = time.monotonic()
        for _ in range(MOST_INVOCATIONS):
            result = invoke(self._stack, {"run": "nightly"})
            self.run.invocations += 1
            self.run.errors += result is None
            if result is not None:
                break
        while depth(self._stack, "BackupRequestsQueue") and time.monotonic() - began < self.run.plan.night_seconds:
            time.sleep(0.2)
        self._on_progress(f"night {self._night}: {time.monotonic() - began:4.1f} s, {result}")

    def _plan_faults(self, changed: Sequence[Backup]) -> None:
        """Plan the next faults in turn, each for another file; those of transfers for files that are to come."""
        first = self._night * self.run.plan.faults
        there = [file for file in changed if self._content(file) is not None]
        for faults, files in ((OF_A_TRANSFER, there), (ON_THE_WAY, [each for each in self.files if each not in there])):
            chosen = self._choice.sample(files, min(self.run.plan.faults, len(files)))
            for number, file in enumerate(chosen, first):
                fault, details = faults[number % len(faults)]
                self._firestream.fail(fault, file_type=file.file_type, day=file.day, **details)

    def _content(self, file: Backup) -> bytes | None:
        offered = self._firestream.offered(file.file_type, file.day)
        return offered.read() if offered else None

    def _note(self) -> None:
        """Note each whole file that Firestream offers, unless it is the one before."""
        for file, offered in self.offered.items():
            usual = (
                self._firestream.activities_per_day if file.file_type == ACTIVITY else self._firestream.messages_per_day
            )
            content = self._last[file] = self._content(file)
            whole = read(content, usual) if content else None
            if whole and whole not in offered[-1:]:
                offered.append(whole)

    def _counted(self) -> dict[Backup, tuple[int, int]]:
        count = self._firestream.counted
        return {
            file: (
                count(file.file_type, file.day, kind="small"),
                count(file.file_type, file.day, kind="body"),
            )
            for file in self.files
        }


def fire(stack: Stack, plan: Plan, on_progress: Callable[[str], None] = lambda _: None) -> Run:
    """Do a run; the stack's archive must contain nothing of the last days yet.

    Args:
        stack: The deployed stack; the functions' settings are restored afterwards.
        plan: What to do.
        on_progress: Called with what became of each night.
    """
    firestream = stack.firestream
    firestream.reset()
    nights = Nights(stack, plan, on_progress)
    run, began, clock = nights.run, time.monotonic(), firestream.clock
    firestream.configure(today=nights.today)
    with ExitStack() as contexts:
        contexts.callback(firestream.configure, today=None)
        contexts.callback(setattr, firestream, "clock", clock)
        firestream.clock = nights.clock
        proxy = contexts.enter_context(
            VisibilityProxy(stack.emulator.url, stack.client("sqs"), DAY_SECONDS, LONGEST_VISIBILITY_SECONDS)
        )
        variables = {"AWS_ENDPOINT_URL_SQS": proxy.url, "BACKUP_LOOKBACK_DAYS": str(plan.lookback_days)}
        contexts.enter_context(with_environment(stack, "FetchBackupsFunction", **variables))
        contexts.enter_context(visibility_timeout(stack, "BackupRequestsQueue", VISIBILITY_SECONDS))
        nights.prepare()
        function = stack.outputs["FetchBackupsFunctionName"]
        with Killer(stack.emulator.url, [function], random.Random(plan.seed), plan.kill_pauses, plan.kills) as killer:
            for _ in range(plan.nights):
                nights.pass_one()
        run.kills = killer.kills
        for _ in range(QUIET_NIGHTS):
            nights.pass_quietly()
        run.seconds = time.monotonic() - began
        _check(stack, nights)
    return run


def _check(stack: Stack, nights: Nights) -> None:
    run, firestream = nights.run, stack.firestream
    run.transfers = firestream.counted(kind="body")
    run.faults = Counter(str(planned.fault) for _, _, planned in firestream.faulted if planned.times is not None)
    run.held_off = nights.held_off()
    began, ended = nights.held
    explained = 1 + sum(began <= kill <= ended for kill in run.kills)
    state = ArchiveState(stack, nights.files)
    run.checker = ArchiveChecker(
        offered={file.key: offered for file, offered in nights.offered.items()},
        stored=state.stored(),
        uploads=state.uploads(),
        kills=run.kills,
        waiting=state.waiting(),
        failures=state.failures(nights.today),
        spoiled=nights.spoiled,
        damaged=state.damaged(),
        notes=state.notes(),
        quiet=nights.quiet,
        unnamed=nights.unnamed,
        early=max(0, run.held_off - explained),
        errors=max(0, run.errors - len(run.kills)),
    )


_PAGE = """\
### Nights

A nightly run looked at the last {lookback} days of both file types, {nights} nights with faults and then {quiet}
without any. Meanwhile, days came late, were re-issued or withdrawn, or were not whole for a night; some had odd lines
from the first night on, or from a later one. Requests failed, workers were killed, and in one night Firestream asked to
wait for {hold} s, which is more than the relay waits within an invocation. After each night the run waited until no
request was left. Then every version of every file was compared with what Firestream had offered each night, and its
tags and remarks with what Python's own `gzip` and `json` find in it.

{outcomes}

{stories}

{injected}

It took {seconds:.0f} s, seed {seed}, {python}, {processors} processors.

The function's clock cannot be moved, so all nights were on one day; Firestream's clock went on by a day between them. A
failed request returned after {longest} s, so that a file that was not whole for a night was received {receives} times
and given up, as otherwise after 24 hours; a killed worker's request returned after {visibility} s.
"""


def page_text(run: Run) -> str:
    """Return the part of the page about a run."""
    return _PAGE.format(
        lookback=run.plan.lookback_days,
        nights=run.plan.nights,
        quiet=QUIET_NIGHTS,
        hold=run.plan.hold_seconds,
        outcomes=table(["result", "number"], _outcomes(run.checker)),
        stories=table(
            ["what happened to a file", "files"], [list(each) for each in Counter(run.stories.values()).items()]
        ),
        injected=table(["injected", "times"], _injected(run)),
        seconds=run.seconds,
        seed=run.plan.seed,
        python=HOST_RUNTIME.replace("python", "Python "),
        processors=os.cpu_count(),
        longest=LONGEST_VISIBILITY_SECONDS,
        receives=REQUEST_RECEIVES,
        visibility=VISIBILITY_SECONDS,
    )


def _outcomes(checker: ArchiveChecker) -> list[list[object]]:
    costs = [cost for night in checker.quiet for cost in night.values()]
    return [
        ["files in the window", len(checker.offered)],
        ["in the archive, identical to the newest whole file of Firestream", len(checker.current())],
        ["**missing**", len(checker.missing())],
        ["**in the archive, but different**", len(checker.different())],
        ["older versions, each identical to what Firestream had offered", checker.older()],
        ["**files without all their versions**", len(checker.lost_versions())],
        ["remarks (odd lines, few lines, replaced)", sum(len(each.remarks) for each in checker.stored.values())],
        ["**tags or remarks that are wrong or missing**", len(list(checker.untold()))],
        ["requests in BackupFailures, for files that were not whole for a night", len(checker.failures)],
        ["of these, kept under `damaged/` as they were", len(checker.damaged)],
        ["unfinished uploads of killed workers", len(checker.uploads) - len(checker.dangling())],
        ["**unfinished uploads of other workers**", len(checker.dangling())],
        ["requests left", sum(checker.waiting.values())],
        [
            "most requests for a file in a night without changes",
            max((each.small + each.body for each in costs), default=0),
        ],
        ["**of these, with a body**", sum(each.body for each in costs)],
        ["**requests before the time that Firestream gave**", checker.early],
    ]


def _injected(run: Run) -> list[list[object]]:
    return [
        ["workers killed", len(run.kills)],
        ["invocations of the nightly run", run.invocations],
        ["of these, ended by a kill", run.errors],
        ["transfers started or resumed", run.transfers],
        [f"requests answered with a wait of {run.plan.hold_seconds} s", run.held_off],
        *([f"`{name}`", count] for name, count in sorted(run.faults.items())),
    ]
