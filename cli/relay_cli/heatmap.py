"""A calendar drawn with characters: weeks are columns, weekdays are rows."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import groupby
from math import ceil
from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.text import Text

from relay_cli.deployed.calendar import Mark, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relay_cli.deployed.calendar import Calendar, Day

SHADES, ASCII_SHADES = "░▒▓█", "1234"
"""For sizes up to a quarter, half, three quarters and all of the largest backup."""

MARKS = {Status.FAILED: "F", Status.DAMAGED: "x", Status.ABSENT: "-", Status.MISSING: ".", Status.NOT_YET: "~"}
STYLES = {
    Status.STORED: "green",
    Status.FAILED: "bold red",
    Status.DAMAGED: "bold red",
    Status.ABSENT: "dim",
    Status.MISSING: "bold yellow",
    Status.NOT_YET: "cyan",
}

REMARK, REMARK_STYLE = "!", "bold magenta"
"""A stored day that an operator should know something of."""

WEEKS_OF_A_YEAR = 54
"""The largest number of calendar weeks in a year."""

_MARGIN = 5
_LABEL = 4
_WEEKDAYS = ("Mon", "", "Wed", "", "Fri", "", "")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def draw(calendar: Calendar, width: int, *, ascii_only: bool) -> Iterator[Text]:
    """Draw a calendar, with its totals first.

    Args:
        calendar: The calendar.
        width: The width of the terminal in characters. A period that does not fit, or of several years, is split.
        ascii_only: Whether to use only ASCII characters.

    Yields:
        Lines.
    """
    yield summary(calendar)
    cell = 2 if width >= _MARGIN + 2 * WEEKS_OF_A_YEAR else 1
    shades = ASCII_SHADES if ascii_only else SHADES
    largest = calendar.largest
    for piece in _pieces(calendar.days, (width - _MARGIN) // cell):
        yield Text()
        yield _months(piece, cell)
        for weekday, name in enumerate(_WEEKDAYS):
            line = Text(f"{name:{_MARGIN}}")
            for each in _row(piece, weekday):
                mark, style = _mark(each, largest, shades)
                line.append(f"{mark:{cell}}", style)
            line.rstrip()
            yield line


def summary(calendar: Calendar) -> Text:
    """Summarize the days of a calendar."""
    counts, first, last = calendar.counts, calendar.days[0].day, calendar.days[-1].day
    text = Text.assemble((calendar.file_type, "bold"), f"  {first} to {last}: ")
    text.append(f"{counts[Status.STORED]:,} of {len(calendar.days):,} stored", STYLES[Status.STORED])
    if counts[Status.STORED]:
        text.append(f" ({decimal(calendar.bytes)}, the largest {decimal(calendar.largest)})")
    marked = sum(bool(each.marks) for each in calendar.days if each.status is Status.STORED)
    if marked:
        text.append(f", {marked:,} of them with a remark", REMARK_STYLE)
    for status in MARKS:
        if counts[status]:
            text.append(f", {counts[status]:,} {label(status)}", STYLES[status])
    return text


def legend(*, ascii_only: bool) -> Text:
    """Explain the characters."""
    text = Text.assemble((ASCII_SHADES if ascii_only else SHADES, STYLES[Status.STORED]), " stored, by size")
    text.append("   ").append(REMARK, REMARK_STYLE).append(" stored, with a remark")
    for status, mark in MARKS.items():  # in two lines, since one would not fit a usual terminal
        text.append("\n" if status is Status.ABSENT else "   ")
        text.append(mark, STYLES[status]).append(f" {label(status)}")
    return text


def label(status: Status) -> str:
    """Return a status in words."""
    return status.replace("_", " ")


def remark(mark: Mark) -> str:
    """Return in a few words what a mark means."""
    return {
        Mark.ODD: "has lines that are not JSON objects",
        Mark.FEW_LINES: "has no lines, or far fewer than the days around it",
        Mark.REPLACED: "took the place of another version",
        Mark.DAMAGED: "a file of Firestream's that is not whole is kept apart",
    }[mark]


def _mark(day: Day | None, largest: int, shades: str) -> tuple[str, str]:
    if day is None:
        return "", ""
    if day.status is Status.STORED and day.marks:
        return REMARK, REMARK_STYLE
    if day.status is Status.STORED:
        return shades[max(ceil(4 * day.bytes / largest), 1) - 1 if largest else 0], STYLES[day.status]
    return MARKS[day.status], STYLES[day.status]


def _pieces(days: Sequence[Day], weeks: int) -> Iterator[Sequence[Day]]:
    """Split a period into pieces that fit the width: years if they do, otherwise as many weeks as do."""
    if column(days[-1].day, days[0].day) < min(weeks, WEEKS_OF_A_YEAR):
        yield days
    elif days[0].day.year != days[-1].day.year and weeks >= WEEKS_OF_A_YEAR:
        for _, year in groupby(days, lambda each: each.day.year):
            yield tuple(year)
    else:
        start = days[0].day
        for _, piece in groupby(days, lambda each: column(each.day, start) // max(weeks, 1)):
            yield tuple(piece)


def _row(piece: Sequence[Day], weekday: int) -> list[Day | None]:
    start = piece[0].day
    row: list[Day | None] = [None] * (column(piece[-1].day, start) + 1)
    for each in piece:
        if each.day.weekday() == weekday:
            row[column(each.day, start)] = each
    return row


def _months(piece: Sequence[Day], cell: int) -> Text:
    """Return the year, and each month above the week it begins in; the first month too, if there is space."""
    start = piece[0].day
    line = f"{start.year:<{_MARGIN}}"
    begins = [each.day for each in piece if each.day.day == 1]
    if not begins or column(begins[0], start) * cell >= _LABEL:
        begins = [start, *begins]
    for first in begins:
        at = _MARGIN + column(first, start) * cell
        if at >= len(line):
            line = f"{line:{at}}{_MONTHS[first.month - 1]} "
    return Text(line.rstrip(), "dim")


def column(day: date, start: date) -> int:
    """Return the week's column: the number of Mondays after the start, up to a day."""
    return (day - (start - timedelta(days=start.weekday()))).days // 7
