"""The coordinates of the page's two charts: the delays of posts, and a year of backups. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log
from statistics import median
from typing import TYPE_CHECKING

from rich.filesize import decimal

from relay_cli.deployed.calendar import Status
from relay_cli.heatmap import column, label, remark
from relay_cli.text import DAY, HOUR, MINUTE, count, length

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from relay_cli.deployed.calendar import Calendar, Day
    from relay_cli.deployed.deliveries import Delivered

WIDTH, HEIGHT, MARGIN = 400, 110, 48
"""The size of the chart; the margin is for the labels of its lines."""

STEP = 13
"""The distance from one square of a calendar to the next."""

LEAST_SECONDS = 0.1
"""The delay at the bottom of the logarithmic scale."""

NOT_REQUESTED = "not_requested"
"""The status of a day that nobody asked for: before the look-back, and before everything that is known."""

_LINES = (1, 10, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 35 * DAY)
_LEAST_HEIGHT = 2
_WIDEST = 28
_LINKS = ("https://", "http://")


@dataclass(frozen=True, slots=True)
class Bar:
    """A post's delay; the label begins with its moment in UTC."""

    at: datetime
    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The delays from queued to posted, oldest on the left, on a logarithmic scale.

    Attributes:
        bars: One for each post.
        lines: The height and the label of each grid line.
        label: A summary in a sentence.
    """

    bars: list[Bar]
    lines: list[tuple[float, str]]
    label: str


@dataclass(frozen=True, slots=True)
class Square:
    """A day of a calendar; its shade is 1 to 4 if it is stored, otherwise 0. Its label ends with its remarks."""

    x: int
    y: int
    status: str
    shade: int
    label: str
    remarks: str

    @property
    def marked(self) -> bool:
        """Whether it is stored, with a remark."""
        return bool(self.remarks) and self.status == Status.STORED


@dataclass(frozen=True, slots=True)
class Weeks:
    """A calendar: weeks are columns, weekdays are rows.

    Attributes:
        width: The total width.
        height: The total height.
        squares: One for each day.
        months: Where each month begins, and its name.
    """

    width: int
    height: int
    squares: list[Square]
    months: list[tuple[int, str]]


def chart(posts: Sequence[Delivered]) -> Chart | None:
    """Return the chart of the posts' delays, newest first; None if no delay is known."""
    delays = [(each, each.delay_seconds) for each in reversed(posts) if each.delay_seconds is not None]
    if not delays:
        return None
    longest = max(delay for _, delay in delays)
    most = next((line for line in _LINES if line >= longest), longest)
    step = min((WIDTH - MARGIN) / len(delays), _WIDEST)
    bars = []
    for number, (post, delay) in enumerate(delays):
        height = max(_height(delay, most), _LEAST_HEIGHT)
        text = f"{post.at:%Y-%m-%d %H:%M:%S} UTC: {length(delay)}"
        bars.append(Bar(post.at, MARGIN + number * step, HEIGHT - height, step * 0.75, height, text))
    lines = [(HEIGHT - _height(line, most), length(line).replace(".0", "")) for line in _LINES if line <= most]
    middle = length(median(delay for _, delay in delays))
    text = f"From queued to posted, {count(len(delays), 'post')}: median {middle}, longest {length(longest)}."
    return Chart(bars, lines, text)


def weeks(calendar: Calendar, since: date) -> Weeks:
    """Return the squares of a calendar; days that are missing before a date were not requested."""
    start, largest = calendar.days[0].day, calendar.largest
    squares = [_square(each, start, largest, requested=each.day >= since) for each in calendar.days]
    begins = [(column(each.day, start) * STEP, f"{each.day:%b}") for each in calendar.days if each.day.day == 1]
    return Weeks(squares[-1].x + STEP, 7 * STEP, squares, begins)


def link(url: str | None) -> str | None:
    """Return a URL if it is safe as a link; a log line can contain anything."""
    return url if url and url.startswith(_LINKS) else None


def _height(delay: float, most: float) -> float:
    return HEIGHT * log(max(delay, LEAST_SECONDS) / LEAST_SECONDS) / log(most / LEAST_SECONDS)


def _square(day: Day, start: date, largest: int, *, requested: bool) -> Square:
    if not requested and day.status is Status.MISSING:
        text = f"{day.day}: {NOT_REQUESTED.replace('_', ' ')}"
        return Square(column(day.day, start) * STEP, day.day.weekday() * STEP, NOT_REQUESTED, 0, text, "")
    shade = max(ceil(4 * day.bytes / largest), 1) if day.status is Status.STORED and largest else 0
    text = f"{day.day}: {label(day.status)}"
    if day.status is Status.STORED:
        text += f", {decimal(day.bytes)}"
    if day.reason:
        text += f", {day.reason}"
    remarks = "; ".join(remark(mark) for mark in day.marks)
    text += f"; {remarks}" if remarks else ""
    return Square(column(day.day, start) * STEP, day.day.weekday() * STEP, day.status, shade, text, remarks)
