"""The ways Firestream can fail, and what is planned for future requests: faults, and contrary behaviours."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from local.stand_ins.firestream import data
from local.stand_ins.firestream.content import altered
from local.stand_ins.firestream.contrary import BEHAVIOURS, HOSTS, LASTING, REDIRECTS, VIA, Contrary, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.stand_ins.firestream.days import Backup


class Fault(StrEnum):
    """How the API, a transfer from the host of the links, or the content of a backup fails."""

    # Responses of the API, with a text.
    BAD_REQUEST = "400"
    UNAUTHORIZED = "401"
    NOT_FOUND = "404"
    ERROR = "500"
    UNAVAILABLE = "503"

    # Transfers that end early (with or without a declared length), stall, or are refused.
    TRUNCATED = "truncated"
    TRUNCATED_UNDECLARED = "truncated-undeclared"
    RESET = "reset"
    STALL = "stall"
    EXPIRED = "expired"
    CHANGED = "changed"
    SERVER_ERROR = "link-503"
    NO_RANGE = "no-range"

    # Contents of a new link, complete as far as HTTP is concerned.
    FLIPPED_BYTE = "flipped-byte"
    TRAILING_GARBAGE = "trailing-garbage"
    TWO_MEMBERS = "two-members"
    NOT_JSON = "not-json"
    EMPTY = "empty"
    CONTENT_ENCODING = "content-encoding"
    CUT = "cut"
    NO_LENGTH = "no-length"


API_FAULTS = frozenset({Fault.BAD_REQUEST, Fault.UNAUTHORIZED, Fault.NOT_FOUND, Fault.ERROR, Fault.UNAVAILABLE})
CONTENT_FAULTS = frozenset(
    {
        Fault.FLIPPED_BYTE,
        Fault.TRAILING_GARBAGE,
        Fault.TWO_MEMBERS,
        Fault.NOT_JSON,
        Fault.EMPTY,
        Fault.CONTENT_ENCODING,
        Fault.CUT,
        Fault.NO_LENGTH,
    }
)

# The details that a fault accepts, with their defaults.
_HALF: dict[str, Any] = {"after": 0.5}
_DETAILS: dict[Fault, dict[str, Any]] = {
    Fault.TRUNCATED: _HALF,
    Fault.TRUNCATED_UNDECLARED: {**_HALF, "chunked": False},
    Fault.RESET: _HALF,
    Fault.STALL: {**_HALF, "seconds": 30.0},
    Fault.EXPIRED: {"after": None},
    Fault.CHANGED: _HALF,
    Fault.FLIPPED_BYTE: _HALF,
    Fault.NOT_JSON: {**_HALF, "line": "This is not a JSON object"},
    Fault.CUT: _HALF,
}


WORDS: Mapping[Fault, str] = {
    Fault.BAD_REQUEST: "the API finds no date in the address",
    Fault.UNAUTHORIZED: "the API refuses the login",
    Fault.NOT_FOUND: "the API has no file",
    Fault.ERROR: "the API fails",
    Fault.UNAVAILABLE: "the API is not available",
    Fault.TRUNCATED: "a transfer ends `after` so much, short of its declared length",
    Fault.TRUNCATED_UNDECLARED: "a transfer without a declared length ends `after` so much, `chunked` or not",
    Fault.RESET: "a transfer is reset `after` so much",
    Fault.STALL: "a transfer stalls for `seconds` `after` so much",
    Fault.EXPIRED: "the link expires, at once or `after` so much was sent",
    Fault.CHANGED: "the file changes, and the transfer breaks `after` so much",
    Fault.SERVER_ERROR: "the host of the links is busy",
    Fault.NO_RANGE: "the host of the links ignores a range",
    Fault.FLIPPED_BYTE: "a byte of the file is wrong",
    Fault.TRAILING_GARBAGE: "there is something after the end of the gzip file",
    Fault.TWO_MEMBERS: "the file has two gzip members",
    Fault.NOT_JSON: "a `line` of the file is not a JSON object",
    Fault.EMPTY: "the file has no bytes",
    Fault.CONTENT_ENCODING: "the file is declared as encoded with gzip",
    Fault.CUT: "the file ends `after` so much, and its declared length agrees",
    Fault.NO_LENGTH: "the file comes without a declared length",
}
"""What each fault does, in plain words."""

_MOMENTS = ("at", "hours", "asked")


class Stage(StrEnum):
    """Where a fault or a behaviour has its effect."""

    DAY = "the day's file"
    IDENTITY = "how a file is told from others"
    API = "the answer of the API"
    WAY = "the way to a new link"
    CONTENT = "the content of a new link"
    LINK = "the answer of the link's host"


_STAGES = {
    Kind.DAY: Stage.DAY,
    Kind.IDENTITY: Stage.IDENTITY,
    Kind.CONTENT: Stage.CONTENT,
    Kind.REDIRECT: Stage.WAY,
}


@dataclass
class PlannedFault:
    """A fault, or a contrary behaviour, for the next requests that match; `times` of None means for ever."""

    fault: Fault | Contrary
    times: int | None
    file_type: str | None
    day: date | None
    details: dict[str, Any]

    @property
    def stage(self) -> Stage:
        """Where it has its effect."""
        if isinstance(self.fault, Contrary):
            kind = BEHAVIOURS[self.fault].kind
            return _STAGES.get(kind) or (Stage.LINK if self.details["host"] == "link" else Stage.API)
        if self.fault in API_FAULTS:
            return Stage.API
        return Stage.CONTENT if self.fault in CONTENT_FAULTS else Stage.LINK

    @property
    def lasts(self) -> bool:
        """Whether no request uses it up."""
        return self.times is None or (isinstance(self.fault, Contrary) and BEHAVIOURS[self.fault].kind in LASTING)

    def matches(self, file_type: str | None, day: date | None) -> bool:
        """Return whether the fault applies to a request for this backup."""
        return self.file_type in (None, file_type) and self.day in (None, day)

    def over(self, now: float) -> bool:
        """Return whether its time is over; it affects no request any more."""
        until: float | None = self.details.get("until")
        return until is not None and now >= until

    def cut(self, length: int) -> int:
        """Return how many of `length` bytes or lines come before the fault: `after`, a number or a fraction."""
        after = self.details["after"]
        return min(int(after * length) if isinstance(after, float) else after, length)

    def moment(self, day: date) -> float | None:
        """Return when a day changes, in seconds since the epoch; None if that depends on something else."""
        if self.details["hours"] is not None:
            end_of_day = datetime.combine(day, time(), UTC) + timedelta(days=1)
            return end_of_day.timestamp() + float(self.details["hours"]) * 3600
        at: float | None = self.details["at"]
        return at

    def reached(self, day: date, now: float, asked: int) -> bool:
        """Return whether the moment has come at which a day changes; without a moment, it never comes.

        Args:
            day: The day.
            now: The time, in seconds since the epoch.
            asked: How many links to this day's file were asked for so far.
        """
        if self.details["asked"] is not None:
            return asked > int(self.details["asked"])
        moment = self.moment(day)
        return moment is not None and now >= moment


def plan(
    fault: str, times: int | None, file_type: str | None, day: date | None, details: Mapping[str, Any]
) -> PlannedFault:
    """Plan a fault or a contrary behaviour.

    Args:
        fault: A value of `Fault` or `Contrary`.
        times: How many requests it affects; None for all. A behaviour of one of the kinds `LASTING` affects all.
        file_type: The type of the files that it affects; None for both.
        day: Their day; None for all.
        details: What the fault accepts. A moment is `at`, in seconds since the epoch or as `2024-01-02T03:00:00Z`,
            or `hours` after the end of the day, or after the file was `asked` for so many times. `until` is a moment
            in one of the first two forms.

    Raises:
        ValueError: The name, a detail or its value is unknown.
    """
    kind = _fault(fault)
    known = _details(kind)
    if (times is not None and times < 1) or details.keys() - known.keys():
        raise ValueError(f"{kind} takes times of 1 or more, or None for ever, and these details: {sorted(known)}")
    if file_type not in (None, *data.FILE_TYPES):
        raise ValueError(f"There are backups of {data.FILE_TYPES}, not of {file_type}")
    planned = PlannedFault(kind, times, file_type, day, {**known, **details})
    if isinstance(kind, Contrary):
        _check(kind, planned.details)
    return planned


def catalogue() -> list[dict[str, Any]]:
    """Return every fault and every contrary behaviour, with its details and what it does in plain words."""
    faults = [{"fault": str(each), "words": words, "details": dict(_details(each))} for each, words in WORDS.items()]
    behaviours = [
        {"fault": str(each), "words": behaviour.words, "details": dict(behaviour.details)}
        | ({"main": behaviour.main, "forms": list(behaviour.forms)} if behaviour.forms else {})
        for each, behaviour in BEHAVIOURS.items()
    ]
    return faults + behaviours


def _fault(name: str) -> Fault | Contrary:
    for kind in (Fault, Contrary):
        if name in [*kind]:
            return kind(name)
    raise ValueError(f"There is no fault {name!r}; GET /_standin/faults lists them")


def _details(fault: Fault | Contrary) -> Mapping[str, Any]:
    return BEHAVIOURS[fault].details if isinstance(fault, Contrary) else _DETAILS.get(fault, {})


def _check(kind: Contrary, details: dict[str, Any]) -> None:
    """Raise ValueError for a value that makes no sense; read the moment in `at`."""
    behaviour = BEHAVIOURS[kind]
    allowed = {"host": HOSTS, "via": VIA, "changed": ("before", "after")}
    if behaviour.forms:
        allowed[behaviour.main] = behaviour.forms  # type: ignore[assignment]
    if behaviour.kind is Kind.REDIRECT:
        allowed["status"] = REDIRECTS  # type: ignore[assignment]
    for name in allowed.keys() & details.keys():
        if details[name] not in allowed[name]:
            raise ValueError(f"{name} of {kind} must be one of {list(allowed[name])}")
    for name in ("at", "until"):
        if details.get(name) is not None:
            details[name] = instant(details[name])
    if behaviour.kind is not Kind.DAY:
        return
    given = [name for name in _MOMENTS if details[name] is not None]
    if len(given) != 1 and not (kind is Contrary.FEW_LINES and not given):
        raise ValueError(f"{kind} takes one moment: {', '.join(_MOMENTS[:-1])} or {_MOMENTS[-1]}")


def instant(moment: str | float) -> float:
    """Read a moment: seconds since the epoch, or `2024-01-02T03:00:00Z`; UTC, unless it says otherwise."""
    if not isinstance(moment, str):
        return float(moment)
    read = datetime.fromisoformat(moment)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def with_fault(backup: Backup, planned: PlannedFault) -> Backup:
    """Return the backup with a fault in its content."""
    if isinstance(planned.fault, Contrary):
        return replace(backup, content=altered(planned.fault, planned.details, backup.read()))
    match planned.fault:
        case Fault.CONTENT_ENCODING:
            return replace(backup, encoding="gzip")
        case Fault.NO_LENGTH:
            return replace(backup, measured=False)
        case _:
            return replace(backup, content=_faulty_content(backup.read(), planned))


def _faulty_content(content: bytes, planned: PlannedFault) -> bytes:
    match planned.fault:
        case Fault.FLIPPED_BYTE:
            position = min(planned.cut(len(content)), len(content) - 1)
            return content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :]
        case Fault.TRAILING_GARBAGE:
            return content + b"garbage"
        case Fault.TWO_MEMBERS:
            lines = gzip.decompress(content).splitlines(keepends=True)
            halves = lines[: len(lines) // 2], lines[len(lines) // 2 :]
            return b"".join(gzip.compress(b"".join(half), mtime=0) for half in halves)
        case Fault.NOT_JSON:
            lines = gzip.decompress(content).splitlines(keepends=True)
            lines.insert(planned.cut(len(lines)), f"{planned.details['line']}\n".encode())
            return gzip.compress(b"".join(lines), mtime=0)
        case Fault.CUT:
            return content[: planned.cut(len(content))]
        case _:  # EMPTY
            return b""


def rewritten(content: bytes) -> bytes:
    """Return the backup with one more line in front, so that every byte has moved."""
    return gzip.compress(b'{"id":0,"body":"late"}\n', mtime=0) + content
