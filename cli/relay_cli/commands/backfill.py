"""``relay backfill``: have a range of days fetched, and follow it."""

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
from relay_cli.deployed import calendar
from relay_cli.deployed.calendar import Status
from relay_cli.deployed.stack import client
from relay_cli.failure import INTERRUPTED, FAILED, Failure

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from relay.backups.events import Backfill

    from relay_cli.context import Context
    from relay_cli.deployed.stack import Stack

INVOKE: dict[str, Any] = {"read_timeout": 910, "retries": {"total_max_attempts": 1}, "tcp_keepalive": True}
"""As long as the function may run, and once: a second invocation would request everything again."""

POLL_SECONDS = 2.0
"""Between two looks; more when a look takes long, so that no more than a fifth of the time is spent on them."""

QUIET_POLLS, QUIET_POLLS_OF_NEW = 30, 3
"""After so many looks with nothing requested and nothing new, it is over. SQS may be a minute late to know of a
request; what Firestream does not have yet leaves no other trace."""

STUCK_SECONDS = 60.0
"""After so long without progress, say why that may be."""


def backfill(  # noqa: PLR0913  the arguments of a command
    ctx: typer.Context,
    first_day: Annotated[str, typer.Argument(metavar="FIRST", help="The first day, such as 2016-12-01.")],
    last_day: Annotated[str, typer.Argument(metavar="LAST", help="The last day, included.")],
    *,
    file_types: Types = None,
    retry_absent: Annotated[
        bool, typer.Option("--retry-absent", help="Ask again for days that Firestream had no file of.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Follow it until nothing is requested any more.")] = True,
) -> None:
    """Fetch what is missing of a range of days, and follow it.

    It goes on by itself when you stop following (Ctrl-C). What is stored is never fetched again.

    [dim]relay backfill 2016-12-01 2016-12-31
    relay backfill 2009-01-01 2025-12-31 --type message --no-wait[/dim]
    """
    context: Context = ctx.obj
    order = calendar.parse_period(first_day, last_day, file_types, retry_absent=retry_absent)
    missing = _missing(context, order)
    if not missing:
        context.console.print("Nothing is missing.")
        return
    following = BackfillProgress.begin(context.stack, missing)
    try:
        with context.notes.status("Requesting it …"):
            _start(context, order)
        if not wait:
            context.console.print("Requested. `relay backups` shows how far it is.")
            return
        _follow(context, following)
    except KeyboardInterrupt:
        raise Failure("It goes on without you: `relay backups` shows how far it is.", INTERRUPTED) from None
    _conclude(context, following)


@dataclass
class BackfillProgress:
    """What became so far of the backups that were missing.

    Attributes:
        stack: Where.
        left: Those of which nothing is known yet.
        stored: The sizes of those that were stored.
        absent: Those that Firestream was found to have no file of.
        failed: Those whose request was given up, with the reasons.
        requested: How many requests wait or are being worked on, those of others too.
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
    def begin(cls, stack: Stack, missing: Collection[Backup]) -> BackfillProgress:
        """Remember what was there before: older notes of absence, and older failures."""
        following = cls(stack, set(missing))
        for backups in _by_type(missing):
            following._notes |= {backup: each.etag for backup, each in calendar.absent(stack, backups).items()}
        following._known = {each.id for each in calendar.failures(stack)}
        return following

    def look(self) -> bool:
        """Find out more; say whether there was anything new."""
        before = len(self.left)
        self.requested = calendar.requested(self.stack)  # first: whatever ends meanwhile is then seen
        for backups in _by_type(self.left):
            stored = calendar.stored(self.stack, backups)
            noted = calendar.absent(self.stack, backups)
            self.stored |= {backup: each.bytes for backup, each in stored.items()}
            self.absent |= {backup for backup, each in noted.items() if each.etag != self._notes.get(backup)}
            self.left -= self.stored.keys() | self.absent
        self._look_for_failures()
        return len(self.left) < before

    def not_yet(self) -> bool:
        """Say whether all that is left are days that Firestream may not have yet."""
        return all(calendar.may_still_come(self.stack, each) for each in self.left)

    def _look_for_failures(self) -> None:
        """Read them only if there may be new ones: to read thousands takes a minute."""
        depth = calendar.depth(self.stack, "BackupFailuresQueueUrl")
        if depth == self._depth and self.requested:
            return
        self._depth = depth
        for each in calendar.failures(self.stack):
            if each.id not in self._known and each.backup in self.left:
                self.failed[each.backup] = each.reason
        self.left -= self.failed.keys()


def _missing(context: Context, order: Backfill) -> list[Backup]:
    """Return what the function will request, and tell how much it is."""
    overview = calendar.read(context.stack, order)
    done = {Status.STORED} if order.retry_absent else {Status.STORED, Status.ABSENT}
    missing: list[Backup] = []
    for each in overview.calendars:
        of_type = [Backup(day.day, each.file_type) for day in each.days if day.status not in done]
        context.notes.print(f"{each.file_type}: {len(of_type):,} of {len(each.days):,} days are missing.")
        missing += of_type
    return sorted(missing)


def _start(context: Context, order: Backfill) -> None:
    """Invoke the function, which requests what is missing; a minute for 12,000 of them.

    Raises:
        Failure: The function failed.
    """
    event = {
        "first_day": order.first_day.isoformat(),
        "last_day": order.last_day.isoformat(),
        "file_types": order.file_types or calendar.file_types(context.stack),
        "retry_absent": order.retry_absent,
    }
    answer = client(context.stack.session, "lambda", **INVOKE).invoke(
        FunctionName=context.stack.output("FetchBackupsFunctionName"), Payload=json.dumps(event)
    )
    run: dict[str, Any] = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        words = run.get("errorMessage") or run.get("errorType") or "it does not say why"
        raise Failure(f"The function that fetches backups failed: {words}", FAILED)
    if run["failed"]:
        context.notes.print(f"SQS did not take {run['failed']:,} of the requests: run it again for them.")
    if run["stopped"]:
        context.notes.print(f"Not all was requested: {run['stopped']}")


def _follow(context: Context, following: BackfillProgress) -> None:
    """Look again and again until nothing is left, or nothing is requested any more."""
    begun = news = time.monotonic()
    quiet, told = 0, False
    total = len(following.left)
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
            looked = time.monotonic()
            if following.look():
                quiet, news = 0, looked
            elif not following.requested:
                quiet += 1
            now = time.monotonic()
            bar.update(task, completed=total - len(following.left), description=_speed(following, now - begun))
            if not following.left or quiet >= (QUIET_POLLS_OF_NEW if following.not_yet() else QUIET_POLLS):
                return
            if now - news > STUCK_SECONDS and following.requested and not told:
                context.notes.print("What failed is tried again, after 5 minutes at first; Ctrl-C leaves it to that.")
                told = True
            time.sleep(max(POLL_SECONDS, 4 * (now - looked)))


def _speed(following: BackfillProgress, seconds: float) -> str:
    size = sum(following.stored.values())
    words = [f"{len(following.stored):,} stored"]
    if following.stored and seconds > 0:
        words.append(f"{60 * len(following.stored) / seconds:,.0f} a minute, {decimal(int(size / seconds))}/s")
    words += [f"{len(following.absent):,} absent"] if following.absent else []
    words += [f"[red]{len(following.failed):,} failed[/red]"] if following.failed else []
    return ", ".join(words)


def _conclude(context: Context, following: BackfillProgress) -> None:
    """Tell what became of it; raises `Failure` when some of it failed."""
    size, left = sum(following.stored.values()), following.left
    words = [f"{len(following.stored):,} stored ({decimal(size)})"]
    words += [f"{len(following.absent):,} absent"] if following.absent else []
    not_yet = {each for each in left if calendar.may_still_come(context.stack, each)}
    words += [f"{len(not_yet):,} not there yet"] if not_yet else []
    words += [f"{len(following.failed):,} failed"] if following.failed else []
    lost = sorted(left - not_yet)
    words += [f"{len(lost):,} neither stored nor failed"] if lost else []
    context.console.print(", ".join(words) + ".")
    for backup, reason in sorted(following.failed.items())[:FAILURES_SHOWN]:
        context.notes.print(f"{backup}: {reason}", soft_wrap=True)
    if following.failed:
        raise Failure("Some failed: `relay backups` shows which; run it again once the reason is mended.", FAILED)
    if lost:
        raise Failure(f"Nothing is requested any more, but {lost[0]} is not there: run it again.", FAILED)


def _by_type(backups: Collection[Backup]) -> Iterator[list[Backup]]:
    by_type = attrgetter("file_type")
    for _, group in groupby(sorted(backups, key=by_type), by_type):
        yield list(group)
