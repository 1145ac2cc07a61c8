"""``relay backups``: the status of every day's backup."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import MAXYEAR, MINYEAR, date, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from relay.backups.backup import FIRST_DAY
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from relay_cli import heatmap
from relay_cli.commands.options import FAILURES_SHOWN, Types
from relay_cli.deployed import calendar
from relay_cli.deployed.calendar import Mark, Status
from relay_cli.deployed.check import Checked, Checker, Note, by_note
from relay_cli.failure import FAILED, USAGE, Failure
from relay_cli.output import erased, print_json
from relay_cli.text import count, one_line

if TYPE_CHECKING:
    from relay.backups.events import Backfill

    from relay_cli.context import Context
    from relay_cli.deployed.calendar import Day, Overview


_A_YEAR = timedelta(days=364)


def backups(  # noqa: PLR0913  the options of a command
    ctx: typer.Context,
    *,
    year: Annotated[int | None, typer.Option(metavar="YEAR", help="One year, such as 2016.")] = None,
    first_day: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="The first day; by default, 12 months ago.")
    ] = None,
    last_day: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="The last day; by default, yesterday (UTC).")
    ] = None,
    file_types: Types = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="Only list what is missing, failed or damaged, one per line.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, metavar="N", help="Only the newest so many days; with --missing, of those that it lists."
        ),
    ] = None,
    check: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--check",
            metavar="FIRST LAST",
            help="Read the stored backups of these days, and compare them with their tags.",
        ),
    ] = None,
    with_firestream: Annotated[
        bool, typer.Option("--with-firestream", help="With --check: compare with what Firestream has now, too.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the status of every day's backup, or check the stored ones.

    A backup is stored, failed (its request is in BackupFailures), damaged (what Firestream sent was not whole), absent
    (Firestream does not have it), missing, or not available yet. Remarks about stored ones are listed below.

    [dim]relay backups
    relay backups --year 2016 --type message
    relay backups --from 2009-01-01 --missing | wc -l
    relay backups --check 2016-12-01 2016-12-31 --type message[/dim]
    """
    context: Context = ctx.obj
    if check:
        if year is not None or first_day or last_day or missing or limit:
            raise Failure("--check has its own days: leave out --year, --from, --to, --missing and --limit.", USAGE)
        period = calendar.parse_period(*check, file_types)
        _check(context, period, with_firestream=with_firestream, as_json=json)
        return
    if with_firestream:
        raise Failure("--with-firestream needs --check FIRST LAST.", USAGE)
    period = _period(year, first_day, last_day, file_types)
    if limit and not missing:
        period = _newest_days(period, limit)
    overview = calendar.read(context.stack, period)
    if missing:
        _list(context, overview, limit, as_json=json)
    elif json:
        print_json(overview)
    else:
        _show(context, overview)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check.

    Attributes:
        backups: The stored backups, by type and day.
        bytes: Their total size.
        lines: How many JSON objects they hold.
        differ: How many of them are not as they should be.
        not_compared: How many of them were to be compared with Firestream's files, and could not be.
    """

    backups: list[Checked]
    bytes: int
    lines: int
    differ: int
    not_compared: int


def _check(context: Context, period: Backfill, *, with_firestream: bool, as_json: bool) -> None:
    """Check the stored backups of a period, and print what was found.

    Raises:
        Failure: A backup differs, or could not be compared.
    """
    result = _read_all(context, period, Checker(context.stack, with_firestream=with_firestream), as_json=as_json)
    if as_json:
        print_json(result)
    else:
        _show_checked(context, result)
    _fail_if_any_differs(result)


def _read_all(context: Context, period: Backfill, checker: Checker, *, as_json: bool) -> CheckResult:
    """Read every backup; print what differs at once, since a check of years takes hours."""
    kept = period.file_types or calendar.file_types(context.stack)
    sizes = {file_type: checker.sizes(file_type, period) for file_type in kept}
    number, total = sum(map(len, sizes.values())), sum(sum(each.values()) for each in sizes.values())
    found: list[Checked] = []
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=context.notes,
        transient=True,
        disable=not context.notes.is_terminal,
    )
    with bar:
        task = bar.add_task(f"0 of {number:,} days", total=total)
        done = read = 0
        for backups in sizes.values():
            of_type = []
            for backup, size in backups.items():
                checked = checker.check(backup, lambda size: bar.advance(task, size))
                done, read = done + 1, read + size
                bar.update(task, completed=read, description=f"{done:,} of {number:,} days")
                if checked:
                    of_type.append(checked)
                    if not as_json:
                        for difference in checked.differences:
                            with erased(bar):
                                context.console.print(f"{checked.name}: {one_line(difference, 1000)}", soft_wrap=True)
            found += checker.with_few_lines(of_type)
    return CheckResult(
        backups=found,
        bytes=sum(each.bytes for each in found),
        lines=sum(each.lines for each in found),
        differ=sum(bool(each.differences) for each in found),
        not_compared=sum(Note.NOT_COMPARED in each.notes for each in found),
    )


def _show_checked(context: Context, result: CheckResult) -> None:
    for note, backups in by_note(result.backups).items():
        for each in backups[:FAILURES_SHOWN]:
            context.console.print(f"{each.name}: {one_line(each.notes[note], 1000)}", soft_wrap=True)
        if len(backups) > FAILURES_SHOWN:
            context.console.print(f"and {len(backups) - FAILURES_SHOWN:,} more ({note}), which --json lists.")
    size = f"{decimal(result.bytes)}, {count(result.lines, 'line')}"
    text = f"{count(len(result.backups), 'backup')} checked ({size}): {_outcome(result)}."
    context.console.print(text, soft_wrap=True)


def _outcome(result: CheckResult) -> str:
    if not result.backups:
        return "none of these days is stored"
    parts = [f"{result.differ or 'none'} differ{'s' if result.differ < 2 else ''}"]  # noqa: PLR2004  as in English
    parts += [f"{result.not_compared:,} not compared with Firestream's files"] if result.not_compared else []
    return ", ".join(parts)


def _fail_if_any_differs(result: CheckResult) -> None:
    differing = [each for each in result.backups if each.differences]
    if differing:
        first = differing[0]
        command = f"relay backfill {first.day} {first.day} --type {first.file_type} --again"
        raise Failure(f"To fetch a day anew: {one_line(command)}. S3 keeps the version that is stored now.", FAILED)
    if result.not_compared:
        raise Failure("Not everything could be compared with Firestream's files; the reasons are above.", FAILED)


def _period(year: int | None, first_day: str | None, last_day: str | None, file_types: list[str] | None) -> Backfill:
    yesterday = calendar.today() - timedelta(days=1)
    if year is not None:
        if first_day or last_day:
            raise Failure("--year cannot be combined with --from or --to.", USAGE)
        if not MINYEAR <= year <= MAXYEAR:
            raise Failure(f"--year: {year} is not a year such as 2016.", USAGE)
        last_day = str(yesterday) if yesterday.year == year else f"{year:04}-12-31"
        return calendar.parse_period(f"{year:04}-01-01", last_day, file_types)
    last_day = last_day or str(yesterday)
    return calendar.parse_period(first_day or _a_year_before(last_day), last_day, file_types)


def _newest_days(period: Backfill, most: int) -> Backfill:
    """Return no more than so many days of a period, up to its last one."""
    days = (period.last_day - period.first_day).days + 1
    return replace(period, first_day=period.last_day - timedelta(days=min(most, days) - 1))


def _a_year_before(last_day: str) -> str:
    try:
        return str(max(date.fromisoformat(last_day) - _A_YEAR, FIRST_DAY))
    except (ValueError, OverflowError):
        return last_day  # the caller reports that it is not a day


def _list(context: Context, overview: Overview, limit: int | None, *, as_json: bool) -> None:
    listed = {Status.MISSING, Status.FAILED, Status.DAMAGED}
    days = sorted({day.day for each in overview.calendars for day in each.days if day.status in listed})
    newest = set(days[-limit:] if limit else days)
    found = [
        {"file_type": each.file_type, "day": day.day, "status": day.status, "reason": day.reason}
        for each in overview.calendars
        for day in each.days
        if day.status in listed and day.day in newest
    ]
    if as_json:
        print_json(found)
        return
    if found:
        lines = "\n".join(f"{one_line(str(each['file_type']))} {each['day']}" for each in found)
        context.console.print(lines, soft_wrap=True)


def _show(context: Context, overview: Overview) -> None:
    console = context.console
    ascii_only = console.options.ascii_only
    for each in overview.calendars:
        for line in heatmap.draw(each, console.width, ascii_only=ascii_only):
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
        console.print()
    console.print(heatmap.legend(ascii_only=ascii_only))
    _explain(context, "F", Status.FAILED, overview, "relay backups --missing --json")
    _explain(context, heatmap.MARKS[Status.DAMAGED], Status.DAMAGED, overview, "relay backups --json")
    _explain(context, heatmap.REMARK, Status.STORED, overview, "relay backups --json")
    if overview.requested:
        console.print(f"{count(overview.requested, 'request')} in BackupRequests, waiting or in progress.")
    if overview.failures:
        failures = count(overview.failures, "request")
        console.print(f"{failures} in BackupFailures: run `relay backfill` for their days.")


def _explain(context: Context, character: str, status: Status, overview: Overview, all_of_them: str) -> None:
    """Print a line for each day of a status that has something to tell, up to a limit."""
    told = [
        f"{one_line(each.file_type)} {day.day}: {words}"
        for each in overview.calendars
        for day in each.days
        if day.status is status and (words := _words(one_line(each.file_type), day))
    ]
    for line in told[:FAILURES_SHOWN]:
        context.console.print(f"{character} {line}", soft_wrap=True)
    if len(told) > FAILURES_SHOWN:
        context.console.print(f"{character} and {len(told) - FAILURES_SHOWN:,} more: {all_of_them}")


def _words(file_type: str, day: Day) -> str:
    """Say what an operator should know of a day, and do about it; nothing if all is well."""
    fetch = f"relay backfill {day.day} {day.day} --type {file_type}"
    received = f"relay get {file_type} {day.day} --damaged"
    if day.status is Status.FAILED:
        kept = f"; its bytes as received: {received}" if day.marks else ""
        return one_line(day.reason, 1000) + kept
    if day.status is Status.DAMAGED:
        return f"what Firestream sent was not whole; its bytes as received: {received}; to try again: {fetch}"
    todo = {
        Mark.ODD: f"relay cat {file_type} {day.day} --errors skip reports the first",
        Mark.FEW_LINES: f"to fetch it anew: {fetch} --again",
        Mark.REPLACED: "which S3 keeps; whoever imported the day should import it again",
        Mark.DAMAGED: f"and the stored one stays; to look at it: {received}",
    }
    return "; ".join(f"{heatmap.remark(mark)}, {todo[mark]}" for mark in day.marks)
