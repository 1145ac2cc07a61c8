"""Which version of a day's file there is at a moment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import md5
from typing import TYPE_CHECKING

from local.stand_ins.firestream.conditions import Identity
from local.stand_ins.firestream.content import emptied, first_lines, reissued
from local.stand_ins.firestream.contrary import Contrary

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from local.stand_ins.firestream.days import Backup
    from local.stand_ins.firestream.faults import PlannedFault

_LATER_SECONDS = 86_400.0
"""How much later a file was modified that replaces another after it was asked for."""


@dataclass(frozen=True)
class When:
    """The situation in which a file is looked at.

    Attributes:
        day: The day.
        now: The time, in seconds since the epoch.
        asked: How many links to the day's file were asked for so far.
    """

    day: date
    now: float
    asked: int


def version(backup: Backup | None, behaviours: Iterable[PlannedFault], when: When) -> Backup | None:
    """Return the version of a backup that is there, or None, under behaviours of the kind `DAY`."""
    for each in behaviours:
        if backup is not None:
            backup = _version(backup, each, when)
    return backup


def _version(backup: Backup, planned: PlannedFault, when: When) -> Backup | None:
    details, reached = planned.details, planned.reached(when.day, when.now, when.asked)
    moment = planned.moment(when.day)
    later = replace(backup, modified=backup.modified + _LATER_SECONDS if moment is None else moment)
    match planned.fault:
        case Contrary.LATE:
            return later if reached else None
        case Contrary.WITHDRAWN:
            return None if reached else backup
        case Contrary.EMPTY_FIRST:
            return later if reached else replace(backup, content=emptied(details["form"]))
        case Contrary.FEW_LINES:
            return later if reached else replace(backup, content=_first_lines(details["lines"], backup.read()))
        case _:  # REISSUED
            there = later if reached else backup
            if reached is (details["changed"] == "before"):
                return there
            return replace(there, content=_reissued(details["form"], details["share"], backup.read()))


_first_lines, _reissued = lru_cache(maxsize=32)(first_lines), lru_cache(maxsize=32)(reissued)


def identity(backup: Backup, behaviours: Iterable[PlannedFault], request: int) -> Identity:
    """Return what identifies a backup in the answer to a request, under behaviours of the kind `IDENTITY`.

    Args:
        backup: The backup.
        behaviours: Of several that change the same, the last one counts.
        request: The number of the request, which is different each time.
    """
    found = Identity(backup.etag, backup.modified)
    for each in behaviours:
        form = each.details.get("form")
        if each.fault is Contrary.ETAG:
            found = replace(found, etag=_etag(form, backup.etag, request))
        elif each.fault is Contrary.LAST_MODIFIED:
            found = _modified(form, found, request)
    return found


def _etag(form: str | None, etag: str, request: int) -> str | None:
    another = f'"{md5(f"{etag} {request}".encode(), usedforsecurity=False).hexdigest()}-3"'
    return {
        "weak": f"W/{etag}",
        "changing": another,
        "changing-weak": f"W/{another}",
        "empty": "",
        "unquoted": etag.strip('"'),
        "stuck": f'"{0:032x}-3"',
    }.get(form or "")


def _modified(form: str | None, found: Identity, request: int) -> Identity:
    match form:
        case "changing":
            return replace(found, modified=(found.modified or 0.0) + request)
        case "nonsense":
            return replace(found, unreadable="the day before yesterday")
        case "stuck":
            return replace(found, modified=0.0)
        case _:  # missing
            return replace(found, modified=None)
