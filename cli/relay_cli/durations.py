"""Durations as they are typed. Pure."""

from __future__ import annotations

import re
from datetime import timedelta

from relay_cli.failure import USAGE, Failure

_SPAN = re.compile(r"(?:([0-9]{1,4})d)?(?:([0-9]{1,5})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,7})s)?")


def span(text: str) -> timedelta:
    """Parse a duration such as ``30m``, ``2h``, ``1h30m`` or ``7d``.

    Raises:
        Failure: It is not a duration.
    """
    found = _SPAN.fullmatch(text.strip().lower())
    days, hours, minutes, seconds = (int(each or 0) for each in found.groups()) if found else (0, 0, 0, 0)
    read = timedelta(days, seconds, minutes=minutes, hours=hours)
    if not read:
        raise Failure(f"{text} is not a duration: write for example 90s, 30m, 2h or 7d.", USAGE)
    return read
