"""When a rate limit ends, as StockTwits and Firestream say it in a header. Pure."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_LIMIT_SECONDS = 24 * 3600
"""An end later than this does not say when the limit ends: limits are hourly."""

MAX_NUMBER_CHARACTERS = 20
"""The longest number that is read from a header; Python refuses to read some thousands of digits at all."""

MAX_DATE_CHARACTERS = 40
"""The longest date that is read from a header; HTTP's has 29 characters."""


def limit_end(header: str, now: float) -> float | None:
    """Return the moment that a header means, in seconds since the epoch: the first sensible reading of it.

    It may be seconds or milliseconds, since the epoch or from now on, or a date as in HTTP or ISO 8601. Limits are
    hourly, so what ends in the past or more than a day from now is not sensible; None if no reading is.
    """
    readings: list[float] = []
    with suppress(ValueError):
        if len(header) <= MAX_NUMBER_CHARACTERS and header.isascii():
            number = float(header)
            readings = [now + number, number, now + number / 1000, number / 1000]
    if not readings and len(header) <= MAX_DATE_CHARACTERS:
        with suppress(ValueError, TypeError, IndexError, OverflowError):
            date = parsedate_to_datetime(header)
            readings = [(date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()]
        if not readings and (at := moment(header)):
            readings = [at]
    return next((each for each in readings if now < each <= now + LONGEST_LIMIT_SECONDS), None)


def moment(date: object) -> float | None:
    """Return the moment of an ISO 8601 date with a zone, in seconds since the epoch; None if it names none."""
    try:
        found = datetime.fromisoformat(str(date))
        return found.timestamp() if found.tzinfo else None
    except (ValueError, OverflowError):
        return None
