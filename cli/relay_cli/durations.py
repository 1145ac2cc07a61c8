"""Durations and moments as they are typed."""

from __future__ import annotations

import math
import re
import time
from contextlib import suppress
from datetime import datetime, timedelta

from relay.posting.instants import instant

from relay_cli.failure import USAGE, Failure
from relay_cli.text import at

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


def coming(text: str) -> datetime:
    """Parse a moment to come: one with a zone, or ``in 2h``, which is so long after now.

    Raises:
        Failure: It names no moment.
    """
    before, _, length = text.strip().partition(" ")
    with suppress(Failure):
        if before.lower() == "in" and (moment := at(math.ceil(time.time() + span(length).total_seconds()))):
            return moment
    try:
        return instant(text)
    except ValueError as error:
        example = "2026-11-21T16:00:00Z, or in 2h"
        raise Failure(f"{text} is not a moment such as {example}: {error}.", USAGE) from None
