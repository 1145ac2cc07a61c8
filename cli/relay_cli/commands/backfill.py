"""``relay backfill``: fetch a range of days, and show the progress."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from relay.backups.backup import Backup
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from relay_cli.commands.options import FAILURES_SHOWN, Types
from relay_cli.deployed import calendar, queues
from relay_cli.deployed.calendar import Status
from relay_cli.deployed.stack import client
from relay_cli.failure import FAILED, INTERRUPTED, Failure
from relay_cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

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
    wait: Annotated[bool, typer.Option(help="Show the progress until all requests are done.")] = True,
) -> None:
    """Fetch the missing backups of a range of days, and show the progress.

    Ctrl-C stops the display, not the backfill. A stored backup is never fetched again.

    [dim]relay backfill 2016-12-01 2016-12-31
    relay backfill 2009-01-01 2025-12-31 --type message --no-wait[/dim]
    """
    context: Context = ctx.obj
    period = calendar.parse_period(first_day, last_day, file_types, retry_absent=retry_absent)
    missing = _missing(context, period)
    if not missing:
        context.console.print("Nothing is missing.")
        return
    progress = BackfillProgress.start(context.stack, missing)
    try:
        with context.notes.status("Requesting the missing backups …"):
            _start(context, period)
        if not wait:
            context.console.print("Requested. `relay backups` shows the progress.")
            return
        _follow(context, progress)
    except KeyboardInterrupt:
        raise Failure("The backfill continues without you: `relay backups` shows the progress.", INTERRUPTED) from None
    _conclude(context, progress)


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
    """

    stack: Stack
    left: set[Backup]
    stored: dict[Backup, int] = field(default_factory=dict)
    absent: set[Backup] = field(default_factory=set)
    failed: dict[Backup, str] = field(default_factory=dict)
    requested: int = 0
    _notes: dict[Backup, str] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)
    _depth: int = 0

    @classmethod
    def start(cls, stack: Stack, missing: Collection[Backup]) -> BackfillProgress:
        """Note what existed before: older notes of absence, and older failures."""
        progress = cls(stack, set(missing))
        for backups in _by_type(missing):
            progress._notes |= {backup: each.etag for backup, each in calendar.absent(stack, backups).items()}
        progress._known = {each.id for each in calendar.failures(stack)}
        return progress

    def update(self) -> bool:
        """Read what changed; return whether there is progress."""
        before = len(self.left)
        self.requested = calendar.requested(self.stack)  # read first, so that what ends meanwhile is not missed
        for backups in _by_type(self.left):
            stored = calendar.stored(self.stack, backups)
            noted = calendar.absent(self.stack, backups)
            self.stored |= {backup: each.bytes for backup, each in stored.items()}
            self.absent |= {backup for backup, each in noted.items() if each.etag != self._notes.get(backup)}
            self.left -= self.stored.keys() | self.absent
        self._read_failures()
        return len(self.left) < before

    def not_yet(self) -> bool:
        """Return whether Firestream may not have any of the remaining days yet."""
        return all(calendar.may_still_come(self.stack, each) for each in self.left)

    def _read_failures(self) -> None:
        """Read the failures only if there may be new ones: reading thousands takes a minute."""
        depth = queues.depth(self.stack, "BackupFailures")
        if depth == self._depth and self.requested:
            return
        self._depth = depth
        for each in calendar.failures(self.stack):
            if each.id not in self._known and each.backup in self.left:
                self.failed[each.backup] = each.reason
        self.left -= self.failed.keys()


def _missing(context: Context, period: Backfill) -> list[Backup]:
    """Return the backups that the function will request, and print how many they are."""
    overview = calendar.read(context.stack, period)
    done = {Status.STORED} if period.retry_absent else {Status.STORED, Status.ABSENT}
    missing: list[Backup] = []
    for each in overview.calendars:
        of_type = [Backup(day.day, each.file_type) for day in each.days if day.status not in done]
        context.notes.print(f"{one_line(each.file_type)}: {len(of_type):,} of {len(each.days):,} days are missing.")
        missing += of_type
    return sorted(missing)


def _start(context: Context, period: Backfill) -> None:
    """Invoke the function, which requests what is missing; 12,000 requests take it a minute.

    Raises:
        Failure: The function failed.
    """
    event = {
        "first_day": period.first_day.isoformat(),
        "last_day": period.last_day.isoformat(),
        "file_types": period.file_types or calendar.file_types(context.stack),
        "retry_absent": period.retry_absent,
    }
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
    started = changed = time.monotonic()
    quiet, explained = 0, False
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
            if progress.update():
                quiet, changed = 0, polled
            elif not progress.requested:
                quiet += 1
            now = time.monotonic()
            bar.update(task, completed=total - len(progress.left), description=_speed(progress, now - started))
            if not progress.left or quiet >= (QUIET_POLLS_OF_NEW if progress.not_yet() else QUIET_POLLS):
                return
            if now - changed > STUCK_SECONDS and progress.requested and not explained:
                context.notes.print(
                    "Failed requests are retried, first after 5 minutes; you can stop watching with Ctrl-C."
                )
                explained = True
            time.sleep(max(POLL_SECONDS, 4 * (now - polled)))


def _speed(progress: BackfillProgress, seconds: float) -> str:
    size = sum(progress.stored.values())
    parts = [f"{len(progress.stored):,} stored"]
    if progress.stored and seconds > 0:
        parts.append(f"{60 * len(progress.stored) / seconds:,.0f} a minute, {decimal(int(size / seconds))}/s")
    parts += [f"{len(progress.absent):,} absent"] if progress.absent else []
    parts += [f"[red]{len(progress.failed):,} failed[/red]"] if progress.failed else []
    return ", ".join(parts)


def _conclude(context: Context, progress: BackfillProgress) -> None:
    """Print the result; raises `Failure` if some of it failed."""
    size, left = sum(progress.stored.values()), progress.left
    parts = [f"{len(progress.stored):,} stored ({decimal(size)})"]
    parts += [f"{len(progress.absent):,} absent"] if progress.absent else []
    not_yet = {each for each in left if calendar.may_still_come(context.stack, each)}
    parts += [f"{len(not_yet):,} not available yet"] if not_yet else []
    parts += [f"{len(progress.failed):,} failed"] if progress.failed else []
    lost = sorted(left - not_yet)
    parts += [f"{len(lost):,} neither stored nor failed"] if lost else []
    context.console.print(", ".join(parts) + ".")
    for backup, reason in sorted(progress.failed.items())[:FAILURES_SHOWN]:
        context.notes.print(f"{one_line(str(backup))}: {one_line(reason, 1000)}", soft_wrap=True)
    if progress.failed:
        raise Failure("Some failed: `relay backups` shows which; fix the reason and run the command again.", FAILED)
    if lost:
        raise Failure(f"No requests remain, but {one_line(str(lost[0]))} is not stored: run the command again.", FAILED)


def _by_type(backups: Collection[Backup]) -> Iterator[list[Backup]]:
    by_type = attrgetter("file_type")
    for _, group in groupby(sorted(backups, key=by_type), by_type):
        yield list(group)
