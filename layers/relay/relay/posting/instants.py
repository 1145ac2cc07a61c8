"""Instants: which moment a text names, in any form of ISO 8601, RFC 3339 and RFC 9557. Pure.

`datetime.fromisoformat` reads some of these forms, and from Python 3.11 to 3.14 not the same ones.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone

_FORM = re.compile(
    r"(?P<year>[0-9]{4})-?"
    r"(?:(?P<month>[0-9]{2})-?(?P<day>[0-9]{2})|[Ww](?P<week>[0-9]{2})-?(?P<weekday>[0-9])|(?P<ordinal>[0-9]{3}))"
    r"(?:[Tt]| +|(?<=[0-9]{8}))"
    r"(?P<hour>[0-9]{2})(?::?(?P<minute>[0-9]{2})(?::?(?P<second>[0-9]{2}))?)?(?:[.,](?P<fraction>[0-9]+))?"
    r" *(?P<zone>[Zz]|UTC|GMT|(?P<sign>[-+\u2212])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-9]{2}))?)?"
    r" *(?P<brackets>\[.*\])?"
)

_EPOCH = r"[0-9]{10}(?:[0-9]{3})?(?:\.[0-9]*)?"  # seconds or milliseconds since 1970

_DAY = timedelta(days=1)
_LEAP = timedelta(hours=23, minutes=59)  # the minute that may have 61 seconds, in UTC

_FRACTION_DIGITS = 12
"""How many digits of a fraction are read: those of a microsecond in a day, and more."""


def instant(text: str) -> datetime:
    """Return the moment that a text names.

    Midnight may be 24:00, and a leap second is the moment after it. What is finer than a microsecond is cut off. The
    offset from UTC names the moment; the name of a zone in brackets must agree with it, if this machine knows the zone.

    Raises:
        ValueError: It names none; the words complete a sentence about it.
    """
    form = _FORM.fullmatch(text.strip())
    if re.fullmatch(_EPOCH, text.strip()):
        raise ValueError("it is a number: write a date, a time of day and a zone, as in 2026-11-21T16:00:00Z")
    if not form:
        raise ValueError("it is not a date and a time of day in one of its forms")
    try:
        moment = _local(form)
    except OverflowError:
        raise ValueError("its year must be one from 0001 to 9999") from None
    brackets = (form["brackets"] or "")[1:-1].split("][")
    names = [each for each in brackets if each and "=" not in each]  # others, such as [u-ca=hebrew], are for display
    if not form["zone"]:
        add = "before the name in brackets, as in 2026-11-21T17:00:00+01:00[Europe/Berlin]" if names else "or a Z"
        raise ValueError(f"it has no zone: add the offset from UTC {add}")
    offset = _offset(form)
    minute = timedelta(hours=int(form["hour"]), minutes=int(form["minute"] or 0)) - offset
    if form["second"] == "60" and minute % _DAY != _LEAP:
        raise ValueError("only 23:59 UTC can have a second 60")
    moment = moment.replace(tzinfo=timezone(offset) if offset else UTC)
    if form["sign"]:  # Z says nothing about the local time: https://www.rfc-editor.org/rfc/rfc9557#section-2
        for name in names:
            _check_zone(name, moment)
    return moment


def _local(form: re.Match[str]) -> datetime:
    """Return the date and the time of day, as they are on the wall."""
    hour, minute, second = (int(form[name] or 0) for name in ("hour", "minute", "second"))
    digits = (form["fraction"] or "0")[:_FRACTION_DIGITS]
    whole = timedelta(hours=hour, minutes=minute, seconds=second)
    unit = timedelta(seconds=1 if form["second"] else 60 if form["minute"] else 3600)
    part = unit * int(digits) // int("1" + "0" * len(digits))
    if minute > 59 or second > 60 or hour > 24 or (hour == 24 and whole + part > timedelta(hours=24)):  # noqa: PLR2004
        raise ValueError("there is no such time of day")
    return datetime.combine(_day(form), datetime.min.time()) + whole + part


def _day(form: re.Match[str]) -> date:
    year = int(form["year"])
    if year == 0:
        raise OverflowError
    try:
        if form["week"]:
            return date.fromisocalendar(year, int(form["week"]), int(form["weekday"]))
        if form["ordinal"]:
            return _day_of_year(year, int(form["ordinal"]))
        return date(year, int(form["month"]), int(form["day"]))
    except ValueError:
        raise ValueError("there is no such day") from None


def _day_of_year(year: int, number: int) -> date:
    day = date(year, 1, 1) + timedelta(days=number - 1)
    if day.year != year:
        raise ValueError("the year has fewer days")
    return day


def _offset(form: re.Match[str]) -> timedelta:
    hours, minutes = int(form["hours"] or 0), int(form["minutes"] or 0)
    if hours > 23 or minutes > 59:  # noqa: PLR2004
        raise ValueError("there is no such offset from UTC")
    offset = timedelta(hours=hours, minutes=minutes)
    return offset if form["sign"] in {None, "+"} else -offset


def _check_zone(name: str, moment: datetime) -> None:
    """Compare the offset with a zone in brackets: its name, or an offset again.

    Raises:
        ValueError: They contradict each other, or the zone is marked as critical and is not known here.
    """
    from zoneinfo import ZoneInfo  # noqa: PLC0415  it is seldom needed, and its import costs cold start

    critical, name = name.startswith("!"), name.removeprefix("!")
    again = _FORM.fullmatch(f"2000-01-01T00{name}")
    try:
        there = _offset(again) if again and again["sign"] else moment.astimezone(ZoneInfo(name)).utcoffset()
    except (KeyError, ValueError, OSError, OverflowError):
        if critical:
            raise ValueError("the zone in brackets is not known here, and its ! asks for that") from None
        return
    if there != moment.utcoffset():
        raise ValueError("the zone in brackets contradicts the offset")
