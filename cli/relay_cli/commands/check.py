"""``relay backups --check``: read stored backups, and compare them with what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from relay_cli.commands.options import FAILURES_SHOWN
from relay_cli.deployed import calendar
from relay_cli.deployed.check import Checked, Checker, Note, by_note
from relay_cli.failure import FAILED, Failure
from relay_cli.output import print_json
from relay_cli.text import count, one_line

if TYPE_CHECKING:
    from relay.backups.events import Backfill

    from relay_cli.context import Context


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


def check(context: Context, period: Backfill, *, with_firestream: bool, as_json: bool) -> None:
    """Check the stored backups of a period, and print what was found.

    Raises:
        Failure: A backup differs, or could not be compared.
    """
    result = _check(context, period, Checker(context.stack, with_firestream=with_firestream), as_json=as_json)
    if as_json:
        print_json(result)
    else:
        _show(context, result)
    _fail_if_any_differs(result)


def _check(context: Context, period: Backfill, checker: Checker, *, as_json: bool) -> CheckResult:
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
                            context.console.print(f"{checked.name}: {one_line(difference, 1000)}", soft_wrap=True)
            found += checker.with_few_lines(of_type)
    return CheckResult(
        backups=found,
        bytes=sum(each.bytes for each in found),
        lines=sum(each.lines for each in found),
        differ=sum(bool(each.differences) for each in found),
        not_compared=sum(Note.NOT_COMPARED in each.notes for each in found),
    )


def _show(context: Context, result: CheckResult) -> None:
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
