"""Formatting of points in time, durations, counts, and texts that other people wrote. Pure."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3600, 86400

LARGEST = 2**63 - 1
"""The largest number that is accepted, as for StockTwits' ids."""

_DIGITS = re.compile(r"[0-9]{1,19}")


def moment(at: datetime | None) -> str:
    """Format a point in time, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "unknown"


def ago(at: datetime, now: float) -> str:
    """Format a point in time as its distance from now, as in ``7 min ago`` or ``in 3 h``."""
    seconds = now - at.timestamp()
    if abs(seconds) < 1:
        return "now"
    return f"{length(seconds)} ago" if seconds > 0 else f"in {length(-seconds)}"


def until(end: datetime, now: float | None = None) -> str:
    """Format the end of something: ``until 2026-11-21 15:00:00 UTC``, or seen from now ``for another 10 min``."""
    return f"until {moment(end)}" if now is None else f"for another {length(max(0.0, end.timestamp() - now))}"


def local(at: datetime | None) -> str:
    """Format a point in time, in the time zone of this machine."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z") if at else "unknown"


def at(seconds: float | None) -> datetime | None:
    """Convert seconds since the epoch; None if there are none, or if they are out of range."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def read_moment(text: object) -> datetime | None:
    """Parse ISO 8601, in UTC unless it has an offset; None if it is invalid or out of range."""
    try:
        read = datetime.fromisoformat(str(text))
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def read_number(value: object, most: int = LARGEST) -> int | None:
    """Parse an integer from 0 to `most`, from digits or an int; None if it is not one."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):  # Python refuses to convert many more digits
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else None


def length(seconds: float) -> str:
    """Format a duration: ``0.8 s``, ``42 s``, ``7 min``, ``3 h 20 min``, ``2 days 4 h``."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 10:  # noqa: PLR2004  only short durations need a tenth
        return f"{seconds:.1f} s"
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min"
    large, small, names = (HOUR, MINUTE, ("h", "min")) if seconds < 2 * DAY else (DAY, HOUR, ("days", "h"))
    whole, rest = int(seconds // large), int(seconds % large // small)
    return f"{whole} {names[0]}" + (f" {rest} {names[1]}" if rest else "")


class Escapes(dict[int, str]):
    """A table for `str.translate`: the given replacements, otherwise the character itself or its escape."""

    def __missing__(self, code: int) -> str:
        """Escape control, format, invisible and unassigned characters, but not spaces."""
        character = chr(code)
        if is_plain(character) or unicodedata.category(character) == "Zs":
            return character
        return character.encode("unicode_escape").decode()


_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\U000e0100-\U000e01ef]")
"""What Unicode calls ignorable although Python calls it printable, except for the variation selectors of emoji."""

_ESCAPES = Escapes({ord(each): each for each in "\n\t"})


def printable(text: str) -> str:
    r"""Escape what would control a terminal, or hide or reorder text, as in ``\x1b``.

    Line breaks and tabs stay.
    """
    return text if is_plain(text) else text.translate(_ESCAPES)


def is_plain(text: str) -> bool:
    """Return whether a text only has characters that can be seen, and ordinary spaces."""
    return text.isprintable() and (text.isascii() or not _INVISIBLE.search(text))


def one_line(text: str, most: int = 300) -> str:
    """Format a text in one line, shortened."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"


def count(number: int, name: str) -> str:
    """Format a number of things: ``1 message``, ``3 messages``."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"
