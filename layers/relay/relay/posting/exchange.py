"""The holidays of an exchange, by the library ``holidays``. Only loaded if ``PostingHolidays`` names one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import holidays
from holidays.constants import HALF_DAY, PUBLIC

from relay.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

_TIME = re.compile(
    r"\b(?P<hour>[0-9]{1,2})(?:[:.](?P<minute>[0-9]{2})\s*(?:(?P<half>[ap])\.?m\b)?|\s*(?P<full>[ap])\.?m\b)",
    re.IGNORECASE,
)
_NOON = 12


def closes(exchange: str) -> Callable[[date], int | None]:
    """Return from which minute of a date an exchange is closed: 0 for all day, None on an ordinary day.

    The library has the time of an early close in the holiday's name, as in "Christmas Eve (markets close at 1:00pm)",
    and not for every exchange: without one, the day counts as ordinary. The name's language may depend on the Python.

    Args:
        exchange: Its code, such as ``NYSE``, ``XNYS``, ``LSE`` or ``TSX``.

    Raises:
        Misconfigured: The library does not know it.
    """
    try:
        supported = holidays.financial_holidays(exchange).supported_categories
        all_day = holidays.financial_holidays(exchange, categories=(PUBLIC,))
        part = holidays.financial_holidays(exchange, categories=(HALF_DAY,)) if HALF_DAY in supported else None
    except NotImplementedError:
        known = ", ".join(sorted(holidays.list_supported_financial()))
        raise Misconfigured(f"POSTING_HOLIDAYS, {exchange!r}, must be none or one of {known}") from None

    def minute(day: date) -> int | None:
        if day in all_day:
            return 0
        return early_close(part.get(day) or "") if part is not None else None

    return minute


def early_close(name: str) -> int | None:
    """Return the minute of the day at which a holiday's name says that the exchange closes; None if it says none."""
    found = _TIME.search(name)
    if not found:
        return None
    hour, half = int(found["hour"]), (found["half"] or found["full"] or "").lower()
    if half:
        hour = hour % _NOON + (_NOON if half == "p" else 0)
    return hour * 60 + int(found["minute"] or 0)
