"""``relay backups``: what became of every day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from relay.backups.backup import FIRST_DAY

from relay_cli import heatmap
from relay_cli.commands.options import FAILURES_SHOWN, Types
from relay_cli.deployed import calendar
from relay_cli.deployed.calendar import Status
from relay_cli.failure import USAGE, Failure
from relay_cli.output import print_json

if TYPE_CHECKING:
    from relay.backups.events import Backfill

    from relay_cli.context import Context
    from relay_cli.deployed.calendar import Overview


_A_YEAR = timedelta(days=364)


def backups(  # noqa: PLR0913  the options of a command
    ctx: typer.Context,
    *,
    year: Annotated[int | None, typer.Option(help="One year, such as 2016.")] = None,
    first_day: Annotated[str | None, typer.Option("--from", help="The first day; else 12 months ago.")] = None,
    last_day: Annotated[str | None, typer.Option("--to", help="The last day; else yesterday (UTC).")] = None,
    file_types: Types = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="Only list what is missing or failed, one a line.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Show what became of every day's backup.

    StoredBackup, with its size; failed (it waits in BackupFailures); absent (Firestream has none); missing; or not there yet.

    [dim]relay backups
    relay backups --year 2016 --type message
    relay backups --from 2009-01-01 --missing | wc -l[/dim]
    """
    context: Context = ctx.obj
    overview = calendar.read(context.stack, _range(year, first_day, last_day, file_types))
    if missing:
        _list(context, overview, as_json=json)
    elif json:
        print_json(overview)
    else:
        _show(context, overview)


def _range(year: int | None, first_day: str | None, last_day: str | None, file_types: list[str] | None) -> Backfill:
    yesterday = calendar.today() - timedelta(days=1)
    if year is not None:
        if first_day or last_day:
            raise Failure("--year names all of its days: give it alone, or --from and --to.", USAGE)
        this = yesterday.year == year
        return calendar.parse_period(f"{year:04}-01-01", str(yesterday) if this else f"{year:04}-12-31", file_types)
    last_day = last_day or str(yesterday)
    return calendar.parse_period(first_day or _a_year_before(last_day), last_day, file_types)


def _a_year_before(last_day: str) -> str:
    try:
        return str(max(date.fromisoformat(last_day) - _A_YEAR, FIRST_DAY))
    except (ValueError, OverflowError):
        return last_day  # no day, which is told of it


def _list(context: Context, overview: Overview, *, as_json: bool) -> None:
    found = [
        {"file_type": each.file_type, "day": day.day, "status": day.status, "reason": day.reason}
        for each in overview.calendars
        for day in each.days
        if day.status in {Status.MISSING, Status.FAILED}
    ]
    if as_json:
        print_json(found)
        return
    if found:
        lines = "\n".join(f"{line['file_type']} {line['day']}" for line in found)
        context.console.print(lines, soft_wrap=True)


def _show(context: Context, overview: Overview) -> None:
    console = context.console
    ascii_only = console.options.ascii_only
    for each in overview.calendars:
        for line in heatmap.draw(each, console.width, ascii_only=ascii_only):
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
        console.print()
    console.print(heatmap.legend(ascii_only=ascii_only))
    failed = [
        f"{each.file_type} {day.day}: {day.reason}"
        for each in overview.calendars
        for day in each.days
        if day.status is Status.FAILED
    ]
    for reason in failed[:FAILURES_SHOWN]:
        console.print(f"F {reason}", soft_wrap=True)
    if len(failed) > FAILURES_SHOWN:
        console.print(f"F and {len(failed) - FAILURES_SHOWN:,} more: relay backups --missing --json")
    if overview.requested:
        console.print(f"{overview.requested:,} requested: they wait in BackupRequests, or are being fetched.")
    if overview.failures:
        console.print(f"{overview.failures:,} in BackupFailures; `relay backfill` over their days requests them again.")
