"""``relay export``: backups as one table, in a file that other programs read."""

from __future__ import annotations

import calendar as months
import re
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

import msgspec
import typer
from relay.backups.backup import Backup, days
from relay.backups.reader import read_backup
from relay.errors import Corrupt, Reject
from rich.filesize import decimal

from relay_cli.bad_lines import Errors, Skipped
from relay_cli.commands.options import STANDARD_OUTPUT, FileType, Force, Output
from relay_cli.deployed import calendar
from relay_cli.deployed.backup_file import MeasuredReader, StoredBackup
from relay_cli.failure import FAILED, USAGE, Failure
from relay_cli.files import complete_file, file_in
from relay_cli.output import binary_output, goes_to_a_terminal, print_json
from relay_cli.progress import transfer_bar
from relay_cli.rows import COLUMNS, row
from relay_cli.tables import Format, completed, table_class
from relay_cli.text import count, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from relay_cli.context import Context
    from relay_cli.deployed.stack import Stack
    from relay_cli.rows import Column
    from relay_cli.tables import Table

_PERIOD = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written.

    Attributes:
        file: Its path.
        format: Its format.
        rows: How many rows it has.
        bytes: Its size.
        days: How many days are in it.
        missing: The days of the period that are not stored.
        skipped: How many lines could not be read.
    """

    file: Path
    format: Format
    rows: int
    bytes: int
    days: int
    missing: list[date]
    skipped: int


def export(  # noqa: PLR0913  the arguments of a command
    ctx: typer.Context,
    file_type: FileType,
    period: Annotated[str, typer.Argument(metavar="PERIOD", help="A day, month or year: 2016-12-05, 2016-12 or 2016.")],
    *,
    kind: Annotated[Format, typer.Option("--format", help="The format of the file.")],
    output: Output = None,
    force: Force = False,
    errors: Annotated[
        Errors, typer.Option(help="At a line that is not a JSON object: stop, or skip it and count it.")
    ] = Errors.RAISE,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write the stored backups of a day, month or year into one file, as a table. It only appears once it is complete.

    The columns of messages are day, id, created_at, body, user_id, username, symbols, sentiment, and raw, the line as
    it is stored; those of activities are day, object, action, created_at and raw. What a line lacks is empty. Parquet
    needs pyarrow: pip install '.[export]'.

    [dim]relay export message 2016-12 --format parquet
    relay export message 2016-12-05 --format csv -o messages.csv
    relay export activity 2016 --format jsonl -o activities/
    relay export message 2016-12 --format jsonl -o - | jq .symbols[/dim]
    """
    context: Context = ctx.obj
    first, last = _days_of(period)
    found = calendar.parse_period(first.isoformat(), last.isoformat(), [file_type])
    backups = [Backup(each, file_type) for each in days(found.first_day, found.last_day)]
    create_table = table_class(kind)
    target = None
    if output == STANDARD_OUTPUT:
        _check_standard_output(json=json)
    else:
        target = file_in(output, f"stocktwits_{file_type}_{period.replace('-', '_')}.{kind}")
        if target.exists() and not force:
            raise Failure(f"{target} already exists: name another file with -o, or overwrite it with --force.", USAGE)
    there = calendar.stored(context.stack, backups)
    wanted = [each for each in backups if each in there]
    explain = f"`relay backups --type {file_type} --from {found.first_day} --to {found.last_day}` says why"
    if not wanted:
        raise Failure(f"No backup of {period} is stored: {explain}.", FAILED)
    size = sum(there[each].bytes for each in wanted)
    skipped = Skipped(context.notes)
    bar = transfer_bar(context.notes, size)
    rows = 0
    opened = complete_file(target) if target else nullcontext(binary_output())
    with bar, opened as file:
        task = bar.add_task("", total=size)
        columns = COLUMNS[file_type]
        with completed(create_table(file, columns)) as table:
            for each in wanted:
                bar.update(task, description=each.day.isoformat())
                rows += _write(
                    context.stack,
                    each,
                    table,
                    columns,
                    skipped if errors is Errors.SKIP else None,
                    lambda read: bar.advance(task, read),
                    "Nothing was kept" if target else "Discard the output",
                )
    missing = [each.day for each in backups if each not in there]
    skipped.report()
    if missing:
        text = f"{count(len(missing), 'day')} of {period} {'is' if len(missing) == 1 else 'are'} not stored: {explain}."
        context.notes.print(text, style="yellow", soft_wrap=True)
    if not target:
        return
    exported = Exported(target, kind, rows, target.stat().st_size, len(wanted), missing, skipped.lines)
    if json:
        print_json(exported)
    else:
        text = f"{one_line(str(target))}: {count(rows, 'row')} of {count(len(wanted), 'day')}, "
        context.console.print(f"{text}{decimal(exported.bytes)}.", soft_wrap=True)


def _check_standard_output(*, json: bool) -> None:
    """Raise `Failure` if a table cannot be written to standard output."""
    if json:
        raise Failure("--json and -o - cannot be combined: both use standard output.", USAGE)
    if goes_to_a_terminal():
        raise Failure(
            "The texts could control your terminal: use `relay cat`, or write -o - to a file or a pipe.", USAGE
        )


def _write(  # noqa: PLR0913, PLR0917  what it takes to copy one backup
    stack: Stack,
    backup: Backup,
    table: Table,
    columns: Sequence[Column],
    skipped: Skipped | None,
    on_progress: Callable[[int], object],
    remedy: str,
) -> int:
    """Add the lines of a backup to a table; return how many there were.

    Args:
        stack: The stack with the archive.
        backup: The backup.
        table: The table.
        columns: Its columns.
        skipped: Counts lines that are not JSON objects; None to stop at one.
        on_progress: Called with the number of bytes of each read.
        remedy: What an error says of the rows before it.

    Raises:
        Failure: The backup is damaged, or a line is not a JSON object and `skipped` is None.
    """
    rows = 0
    with StoredBackup(stack, backup) as stored:
        reader = cast("BinaryIO", MeasuredReader(stored, on_progress))
        try:
            for line in read_backup(reader, type=msgspec.Raw, errors=skipped or "raise"):
                table.write(row(columns, backup.day, bytes(line)))
                rows += 1
        except Corrupt as error:
            raise Failure(f"{backup} is damaged: {one_line(error.reason)}. {remedy}.", FAILED) from None
        except Reject as error:
            raise Failure(
                f"{backup}, {one_line(error.reason)}. {remedy}; to leave such lines out, add --errors skip.",
                FAILED,
            ) from None
    return rows


def _days_of(period: str) -> tuple[date, date]:
    """Return the first and the last day of a period; the last one is yesterday if it has not ended.

    Raises:
        Failure: It is neither a day, nor a month, nor a year.
    """
    found = _PERIOD.fullmatch(period)
    year, month, day = (int(each or 0) for each in found.groups()) if found else (0, 0, 0)
    try:
        first = date(year, month or 1, day or 1)
    except ValueError:
        example = "2016-12-05, 2016-12 or 2016"
        raise Failure(f"{one_line(period, 80)} is not a day, a month or a year such as {example}.", USAGE) from None
    if day:
        return first, first
    last_month = month or 12
    last = date(year, last_month, months.monthrange(year, last_month)[1])
    return first, max(first, min(last, calendar.today() - timedelta(days=1)))
