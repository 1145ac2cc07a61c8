"""``relay backfill``: fetch a range of days, and show the progress."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from relay.backups.backup import Backup
from relay.backups.runs import SECOND_LOOK_SECONDS
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from relay_cli.commands.options import FAILURES_SHOWN, Types
from relay_cli.deployed import calendar, queues
from relay_cli.deployed.calendar import Status
from relay_cli.deployed.stack import client
from relay_cli.failure import FAILED, INTERRUPTED, Failure, outlast_temporary
from relay_cli.output import print_json
from relay_cli.text import count, one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import date

    from relay.backups.bucket import Stored
    from relay.backups.events import Backfill

    from relay_cli.context import Context
    from relay_cli.deployed.stack import Stack

INVOKE: dict[str, Any] = {"read_timeout": 910, "retries": {"total_max_attempts": 1}, "tcp_keepalive": True}
"""Wait as long as the function may run, and invoke it once: a retry would request everything again."""

POLL_SECONDS = 2.0
"""The time between two polls; more if a poll takes long, so that polling takes at most a fifth of the time."""

QUIET_POLLS, QUIET_POLLS_OF_NEW = 30, 3
"""After so many polls without requests and without news, nothing more is expected. SQS may be a minute late to count a
request, and a file that Firestream does not have yet leaves no other trace."""

UNANSWERED_SECONDS = 600.0
"""After so long without an answer of AWS, watching ends with its error."""

STUCK_SECONDS = 60.0
"""After so long without progress, a note explains why that may be."""


def backfill(  # noqa: PLR0913  the arguments of a command
    ctx: typer.Context,
    first_day: Annotated[str, typer.Argument(metavar="FIRST", help="The first day, such as 2016-12-01.")],
    last_day: Annotated[str, typer.Argument(metavar="LAST", help="The last day, included.")],
    *,
    file_types: Types = None,
    retry_absent: Annotated[
        bool, typer.Option("--retry-absent", help="Request days again that Firestream did not have a file for.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Fetch stored backups anew, too; S3 keeps the versions before.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Show the progress until all requests are done.")] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show which backups would be requested, and request none.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fetch the missing backups of a range of days, and show the progress.

    Ctrl-C stops the display, not the backfill. A stored backup is only fetched again with --again.

    [dim]relay backfill 2016-12-01 2016-12-31
    relay backfill 2009-01-01 2025-12-31 --type message --dry-run
    relay backfill 2009-01-01 2025-12-31 --type message --no-wait
    relay backfill 2016-12-05 2016-12-05 --again[/dim]
    """
    context: Context = ctx.obj
    period = calendar.parse_period(first_day, last_day, file_types, retry_absent=retry_absent, again=again)
    wanted = _wanted(context, period)
    if dry_run:
        _show_wanted(context, wanted, as_json=json)
        return
    progress = BackfillProgress.start(context.stack, wanted)
    try:
        if wanted:
            with context.notes.status("Requesting the backups …"):
                _start(context, period)
        if wanted and wait:
            _follow(context, progress)
    except KeyboardInterrupt:
        raise Failure("The backfill continues without you: `relay backups` shows the progress.", INTERRUPTED) from None
    result = progress.result()
    if json:
        print_json(result if wait else {"requested": len(wanted)})
    elif not wanted:
        context.console.print("Nothing is missing.")
    elif not wait:
        context.console.print("Requested. `relay backups` shows the progress.")
    else:
        _show(context, result)
    if wait:
        _fail_if_incomplete(result)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A backup that a backfill was to fetch.

    Attributes:
        file_type: Its type.
        day: Its day.
        bytes: Its size, if it was stored.
        reason: Why it failed, if it did.
    """

    file_type: str
    day: date
    bytes: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BackfillResult:
    """The result of a backfill.

    Attributes:
        stored: The backups that were stored.
        absent: Those that Firestream does not have.
        not_yet: Those that it does not have, and that the nightly run asks for again.
        kept: Stored ones that were not fetched anew, because it does not have them now; the nightly run compares them.
        failed: Those whose request failed.
        lost: Those without a request and without an outcome.
        bytes: The total size of what was stored.
    """

    stored: list[Fetched]
    absent: list[Fetched]
    not_yet: list[Fetched]
    kept: list[Fetched]
    failed: list[Fetched]
    lost: list[Fetched]
    bytes: int


@dataclass
class BackfillProgress:
    """The progress of a backfill.

    Attributes:
        stack: The stack.
        left: The backups without an outcome so far.
        stored: The backups that were stored, with their sizes.
        absent: The backups that Firestream does not have.
        failed: The backups whose request failed, with the reasons.
        requested: How many requests wait or are in progress, including those of others.
        second_looks: How many of them wait to ask a second time for what Firestream does not have.
    """

    stack: Stack
    left: set[Backup]
    stored: dict[Backup, int] = field(default_factory=dict)
    absent: set[Backup] = field(default_factory=set)
    failed: dict[Backup, str] = field(default_factory=dict)
    requested: int = 0
    second_looks: int = 0
    _notes: dict[Backup, Stored] = field(default_factory=dict)
    _versions: dict[Backup, Stored] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)
    _depth: int = 0

    @classmethod
    def start(cls, stack: Stack, wanted: Collection[Backup]) -> BackfillProgress:
        """Note what existed before: older versions, notes of absence, and failures."""
        progress = cls(stack, set(wanted))
        for backups in _by_type(wanted):
            progress._notes |= calendar.absent(stack, backups)
            progress._versions |= calendar.stored(stack, backups)
        progress._known = {each.id for each in calendar.failures(stack)}
        return progress

    def update(self) -> bool:
        """Read what changed; return whether there is progress."""
        before = len(self.left)
        requests = queues.count(self.stack, "BackupRequests")  # first, so that what ends meanwhile is not missed
        self.requested, self.second_looks = sum(requests.values()), requests["delayed"]
        for backups in _by_type(self.left):
            stored = calendar.stored(self.stack, backups)
            noted = calendar.absent(self.stack, backups)
            # The same bytes have the same ETag, but are written later.
            self.stored |= {backup: each.bytes for backup, each in stored.items() if each != self._versions.get(backup)}
            self.absent |= {backup for backup, each in noted.items() if each != self._notes.get(backup)}
            self.left -= self.stored.keys() | self.absent
        self._read_failures()
        return len(self.left) < before

    def not_yet(self) -> bool:
        """Return whether the nightly run asks for all the remaining days again."""
        return all(calendar.is_looked_for(self.stack, each) for each in self.left)

    def result(self) -> BackfillResult:
        """Return the result as it is now."""
        nightly = {each for each in self.left if calendar.is_looked_for(self.stack, each)}
        kept = nightly & self._versions.keys()

        def of(backups: Iterable[Backup]) -> list[Fetched]:
            return [
                Fetched(each.file_type, each.day, self.stored.get(each, 0), self.failed.get(each, ""))
                for each in sorted(backups)
            ]

        return BackfillResult(
            stored=of(self.stored),
            absent=of(self.absent),
            not_yet=of(nightly - kept),
            kept=of(kept),
            failed=of(self.failed),
            lost=of(self.left - nightly),
            bytes=sum(self.stored.values()),
        )

    def _read_failures(self) -> None:
        """Read the failures only if there may be new ones: reading thousands takes a minute."""
        depth = queues.depth(self.stack, "BackupFailures")
        if depth == self._depth and self.requested:
            return
        for each in calendar.failures(self.stack):
            if each.id not in self._known and each.backup in self.left:
                self.failed[each.backup] = each.reason
        self._depth = depth
        self.left -= self.failed.keys()


def _wanted(context: Context, period: Backfill) -> list[Backup]:
    """Return the backups that the function will request, and print how many they are."""
    overview = calendar.read(context.stack, period)
    wanted: list[Backup] = []
    for each in overview.calendars:
        stored = [Backup(day.day, each.file_type) for day in each.days if day.status is Status.STORED]
        others = [Backup(day.day, each.file_type) for day in each.days if day.status is not Status.STORED]
        noted = {} if period.retry_absent else calendar.absent(context.stack, others)
        missing = [backup for backup in others if backup not in noted]
        stored = stored if period.again else []
        text = f"{one_line(each.file_type)}: {len(missing):,} of {len(each.days):,} days are missing"
        context.notes.print(f"{text}, {len(stored):,} stored ones are fetched anew." if period.again else f"{text}.")
        wanted += missing + stored
    return sorted(wanted)


def _show_wanted(context: Context, wanted: list[Backup], *, as_json: bool) -> None:
    if as_json:
        print_json([{"file_type": each.file_type, "day": each.day} for each in wanted])
        return
    for each in wanted:
        context.console.print(one_line(f"{each.file_type} {each.day}"))
    context.notes.print(f"Nothing was requested (--dry-run): {count(len(wanted), 'backup')} would be.")


def _start(context: Context, period: Backfill) -> None:
    """Invoke the function, which requests what is missing; 12,000 requests take it a minute.

    Raises:
        Failure: The function failed.
    """
    event: dict[str, Any] = {
        "first_day": period.first_day.isoformat(),
        "last_day": period.last_day.isoformat(),
        "file_types": period.file_types or calendar.file_types(context.stack),
        "retry_absent": period.retry_absent,
    }
    if period.again:
        event["again"] = True
    answer = client(context.stack.session, "lambda", **INVOKE).invoke(
        FunctionName=context.stack.output("FetchBackupsFunctionName"), Payload=json.dumps(event)
    )
    run: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        reason = run.get("errorMessage") or run.get("errorType") or "it gives no reason"
        raise Failure(f"The function that fetches backups failed: {one_line(str(reason))}", FAILED)
    if run["failed"]:
        context.notes.print(f"SQS did not accept {run['failed']:,} of the requests: run the command again for those.")
    if run["stopped"]:
        context.notes.print(f"Not everything was requested: {one_line(str(run['stopped']))}")


def _follow(context: Context, progress: BackfillProgress) -> None:
    """Poll until every backup has an outcome, or no requests remain."""
    started = changed = answered = time.monotonic()
    quiet, explained, announced = 0, False, False
    total = len(progress.left)
    bar = Progress(
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=context.notes,
        disable=not context.notes.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=total)
        while True:
            polled = time.monotonic()
            with outlast_temporary() if polled - answered < UNANSWERED_SECONDS else nullcontext():
                if progress.update():
                    quiet, changed = 0, polled
                elif not progress.requested:
                    quiet += 1
                answered = polled
            now = time.monotonic()
            bar.update(task, completed=total - len(progress.left), description=_speed(progress, now - started))
            if not progress.left or quiet >= (QUIET_POLLS_OF_NEW if progress.not_yet() else QUIET_POLLS):
                return
            others = progress.requested - progress.second_looks
            if progress.second_looks and not others and not announced:
                days = "1 day is" if progress.second_looks == 1 else f"{progress.second_looks:,} days are"
                minutes = SECOND_LOOK_SECONDS // 60
                context.notes.print(
                    f"{days} asked for a second time in {minutes} minutes, since Firestream did not have a file; "
                    "you can stop watching with Ctrl-C.",
                    soft_wrap=True,
                )
                announced = True
            if now - changed > STUCK_SECONDS and others and not explained:
                context.notes.print(
                    "Failed requests are retried, first after 5 minutes; you can stop watching with Ctrl-C.",
                    soft_wrap=True,
                )
                explained = True
            time.sleep(max(POLL_SECONDS, 4 * (now - polled)))


def _speed(progress: BackfillProgress, seconds: float) -> str:
    size = sum(progress.stored.values())
    parts = [f"{len(progress.stored):,} stored"]
    if progress.stored and seconds > 0:
        parts.append(f"{60 * len(progress.stored) / seconds:,.0f} a minute, {decimal(int(size / seconds))}/s")
    parts += [f"{len(progress.absent):,} absent"] if progress.absent else []
    parts += [f"{progress.second_looks:,} to be asked for again"] if progress.second_looks else []
    parts += [f"[red]{len(progress.failed):,} failed[/red]"] if progress.failed else []
    return ", ".join(parts)


def _show(context: Context, result: BackfillResult) -> None:
    parts = [f"{len(result.stored):,} stored ({decimal(result.bytes)})"]
    parts += [f"{len(result.absent):,} absent"] if result.absent else []
    parts += [f"{len(result.not_yet):,} not available yet"] if result.not_yet else []
    parts += [f"{len(result.kept):,} kept as before"] if result.kept else []
    parts += [f"{len(result.failed):,} failed"] if result.failed else []
    parts += [f"{len(result.lost):,} neither stored nor failed"] if result.lost else []
    context.console.print(", ".join(parts) + ".")
    if result.not_yet:
        context.notes.print("The nightly run asks again for what is not available yet.", soft_wrap=True)
    if result.kept:
        text = "Firestream does not have now what is kept as before; the nightly run looks again."
        context.notes.print(text, soft_wrap=True)
    for each in result.failed[:FAILURES_SHOWN]:
        what = one_line(f"{each.file_type} {each.day}")
        context.notes.print(f"{what}: {one_line(each.reason, 1000)}", soft_wrap=True)


def _fail_if_incomplete(result: BackfillResult) -> None:
    if result.failed:
        raise Failure("Some failed: `relay backups` shows which; fix the reason and run the command again.", FAILED)
    if result.lost:
        first = one_line(f"{result.lost[0].file_type} {result.lost[0].day}")
        raise Failure(f"No requests remain, but {first} is not stored: run the command again.", FAILED)


def _by_type(backups: Collection[Backup]) -> Iterator[list[Backup]]:
    by_type = attrgetter("file_type")
    for _, group in groupby(sorted(backups, key=by_type), by_type):
        yield list(group)
