"""How moments, spans of time and other people's texts are shown. Pure."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3600, 86400

LARGEST = 2**63 - 1
"""The largest number that anything the relay knows may have, StockTwits' ids above all."""

_DIGITS = re.compile(r"[0-9]{1,19}")


def moment(at: datetime | None) -> str:
    """Show a moment, in UTC as everything in the relay is."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else "unknown"


def at(seconds: float | None) -> datetime | None:
    """Make a moment of seconds since the epoch; None of None, and of what is none."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def read_moment(text: object) -> datetime | None:
    """Read a moment in ISO 8601, in UTC unless it says otherwise; None when it is none, in UTC too."""
    try:
        read = datetime.fromisoformat(str(text))
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def read_number(value: object, most: int = LARGEST) -> int | None:
    """Read a whole number from 0 to `most`, in digits or as it is; None when it is none."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):  # of any more, Python refuses to make a number
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else None


def length(seconds: float) -> str:
    """Show a length of time: ``0.8 s``, ``42 s``, ``7 min``, ``3 h 20 min``, ``2 days 4 h``."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 10:  # noqa: PLR2004  only here a tenth matters
        return f"{seconds:.1f} s"
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min"
    large, small, names = (HOUR, MINUTE, ("h", "min")) if seconds < 2 * DAY else (DAY, HOUR, ("days", "h"))
    whole, rest = int(seconds // large), int(seconds % large // small)
    return f"{whole} {names[0]}" + (f" {rest} {names[1]}" if rest else "")


class Escapes(dict[int, str]):
    """What is shown in place of a character, for `str.translate`: what is given, else the character or its escape."""

    def __missing__(self, code: int) -> str:
        """Escape what Python would: control and format characters, and what no font has; but no space."""
        character = chr(code)
        if character.isprintable() or unicodedata.category(character) == "Zs":
            return character
        return character.encode("unicode_escape").decode()


_ESCAPES = Escapes({ord(each): each for each in "\n\t"})


def printable(text: str) -> str:
    r"""Escape what would steer a terminal or hide a text's order, as in ``\x1b``: other people wrote it.

    Line breaks and tabs stay.
    """
    return text if text.isprintable() else text.translate(_ESCAPES)


def one_line(text: str, most: int = 300) -> str:
    """Show a text in one line, cut short."""
    words = printable(" ".join(text.split()))
    return words if len(words) <= most else f"{words[: most - 1]}…"


def count(number: int, name: str) -> str:
    """Show a number of things: ``1 message``, ``3 messages``."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"
