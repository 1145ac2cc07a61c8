"""Posting hours: when the owner wants posts to be made, by the wall clock of a time zone. Only loaded for a rule.

A rule is one string: days, hours, and a zone of the IANA database at the end::

    MON-FRI 09:30-16:00 America/New_York
    MON-THU 09:30-12:00,13:00-16:00 FRI 09:30-12:00 Europe/London

An hour that the clocks skip in spring does not come, and one that they repeat in autumn counts both times. A range ends
at the end of its day at the latest, which is 24:00. So every rule that can be read opens each week, but for holidays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from relay.errors import Misconfigured, Pause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    Closes = Callable[[date], int | None]

DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")

LOOK_AHEAD = timedelta(days=40)
"""How far the next opening is looked for: longer than any exchange closes. Without one, it is looked for anew then."""

_MINUTE = timedelta(minutes=1)
_END_OF_DAY = 24 * 60
_DAYS = re.compile(rf"({'|'.join(DAYS)})(?:-({'|'.join(DAYS)}))?")
_RANGE = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_EXAMPLE = "MON-FRI 09:30-16:00 America/New_York"


@dataclass(frozen=True)
class PostingHours:
    """The hours in which posts may be made.

    Attributes:
        text: The rule as its owner wrote it.
        zone: The time zone.
        ranges: For each weekday (0 is Monday) when it is open: from a minute of the day up to another, without that.
        closes: From which minute of a date an exchange is closed, 0 for all day; None on an ordinary day.
    """

    text: str
    zone: ZoneInfo
    ranges: Mapping[int, Sequence[tuple[int, int]]]
    closes: Closes = lambda _day: None

    def is_open(self, now: float) -> bool:
        """Return whether posts may be made at a moment, in seconds since the epoch."""
        local = datetime.fromtimestamp(now, self.zone)
        minute = local.hour * 60 + local.minute
        if not any(begin <= minute < end for begin, end in self.ranges.get(local.weekday(), ())):
            return False
        closes = self.closes(local.date())
        return closes is None or minute < closes

    def minutes_a_day(self) -> list[int]:
        """Return for how many minutes posts may be made on each day of an ordinary week, from Monday on."""
        return [
            sum(any(begin <= minute < end for begin, end in self.ranges.get(day, ())) for minute in range(_END_OF_DAY))
            for day in range(len(DAYS))
        ]

    def opens_at(self, now: float) -> float:
        """Return the first moment from now on at which posts may be made, in seconds since the epoch."""
        if self.is_open(now):
            return now
        # Minute by minute, as the clock shows it: then no change of the clocks is a special case.
        moment = datetime.fromtimestamp(now, UTC).replace(second=0, microsecond=0)
        end = moment + LOOK_AHEAD
        while moment < end:
            moment += _MINUTE
            if self.is_open(moment.timestamp()):
                break
        return moment.timestamp()


class HoursPause:
    """The pause outside the posting hours; looks for the next opening once for each time that they are over."""

    def __init__(self, hours: PostingHours) -> None:
        """Use these hours."""
        self._hours = hours
        self._known: tuple[float, float] = (0.0, 0.0)  # closed from the first to the second

    def __call__(self, now: float) -> Pause | None:
        """Return the pause of a moment, in seconds since the epoch; None when posts may be made."""
        since, until = self._known
        if not since <= now < until:
            if self._hours.is_open(now):
                return None
            until = self._hours.opens_at(now)
            self._known = (now, until)
        at = datetime.fromtimestamp(until, self._hours.zone).strftime("%A %Y-%m-%d %H:%M %Z")
        return Pause("hours", f"outside PostingHours, {self._hours.text}: it opens on {at}", until)


def posting_hours(text: str, holidays: str = "none") -> PostingHours:
    """Read a rule.

    Args:
        text: The rule, as the parameter ``PostingHours`` has it.
        holidays: An exchange that the library ``holidays`` knows, such as ``NYSE``, or ``none``.

    Raises:
        Misconfigured: It cannot be read; the reason says what is wrong.
    """
    *words, zone = text.split() or [""]
    if len(words) < 2 or len(words) % 2:  # noqa: PLR2004  days and hours, in turn
        raise _unreadable(text, "write days, hours and a time zone")
    ranges: dict[int, list[tuple[int, int]]] = {}
    for days, hours in zip(words[::2], words[1::2], strict=True):
        for day in _days(text, days):
            ranges.setdefault(day, []).extend(_ranges(text, hours))
    try:
        found = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _unreadable(text, f"{zone!r} is not a time zone of the IANA database") from None
    if holidays == "none":
        return PostingHours(text, found, ranges)
    from relay.posting.exchange import closes  # noqa: PLC0415  it takes long to load, and few need it

    return PostingHours(text, found, ranges, closes(holidays))


def _days(text: str, words: str) -> list[int]:
    days: list[int] = []
    for each in words.split(","):
        found = _DAYS.fullmatch(each)
        if not found:
            raise _unreadable(text, f"{each!r} is not a day such as MON, or days such as MON-FRI")
        first = DAYS.index(found[1])
        last = DAYS.index(found[2] or found[1])
        days += [(first + more) % len(DAYS) for more in range((last - first) % len(DAYS) + 1)]
    return days


def _ranges(text: str, words: str) -> list[tuple[int, int]]:
    ranges = []
    for each in words.split(","):
        found = _RANGE.fullmatch(each)
        if not found:
            raise _unreadable(text, f"{each!r} is not a range of hours such as 09:30-16:00")
        begin, end = (int(hour) * 60 + int(minute) for hour, minute in (found.groups()[:2], found.groups()[2:]))
        if not begin < end <= _END_OF_DAY:
            raise _unreadable(text, f"{each} does not end on its day: write what is after midnight for the next day")
        ranges.append((begin, end))
    return ranges


def _unreadable(text: str, why: str) -> Misconfigured:
    return Misconfigured(f"POSTING_HOURS, {text!r}, cannot be read: {why}, as in {_EXAMPLE}")
