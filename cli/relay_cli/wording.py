"""How moments, spans of time and other people's texts are shown. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3600, 86400


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
    """Read a moment in ISO 8601, in UTC unless it says otherwise; None when it is none."""
    try:
        read = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def length(seconds: float) -> str:
    """Show a length of time: ``0.8 s``, ``42 s``, ``7 min``, ``3 h 20 min``, ``2 days 4 h``."""
    if seconds < 10:  # noqa: PLR2004  only here a tenth matters
        return f"{seconds:.1f} s"
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min"
    large, small, names = (HOUR, MINUTE, ("h", "min")) if seconds < 2 * DAY else (DAY, HOUR, ("days", "h"))
    whole, rest = int(seconds // large), int(seconds % large // small)
    return f"{whole} {names[0]}" + (f" {rest} {names[1]}" if rest else "")


def printable(text: str) -> str:
    """Take out what would steer a terminal: other people wrote it. Line breaks and tabs stay."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text)


def one_line(text: str, most: int = 300) -> str:
    """Show a text in one line, cut short."""
    words = printable(" ".join(text.split()))
    return words if len(words) <= most else f"{words[: most - 1]}…"


def count(number: int, name: str) -> str:
    """Show a number of things: ``1 message``, ``3 messages``."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"
