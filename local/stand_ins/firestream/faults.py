"""The ways Firestream can fail, and faults planned for future requests."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from local.stand_ins.firestream import data

if TYPE_CHECKING:
    from datetime import date

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
LINK_FAULTS = frozenset(Fault) - API_FAULTS - CONTENT_FAULTS

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


@dataclass
class PlannedFault:
    """A fault for the next requests that match; `times` of None means for ever."""

    fault: Fault
    times: int | None
    file_type: str | None
    day: date | None
    details: dict[str, Any]

    def matches(self, file_type: str | None, day: date | None) -> bool:
        """Return whether the fault applies to a request for this backup."""
        return self.file_type in (None, file_type) and self.day in (None, day)

    def cut(self, length: int) -> int:
        """Return how many of `length` bytes or lines come before the fault: `after`, a number or a fraction."""
        after = self.details["after"]
        return min(int(after * length) if isinstance(after, float) else after, length)


def plan(
    fault: str, times: int | None, file_type: str | None, day: date | None, details: dict[str, Any]
) -> PlannedFault:
    """Plan a fault; ValueError for an unknown name or unknown details."""
    kind = Fault(fault)
    known = _DETAILS.get(kind, {})
    if (times is not None and times < 1) or details.keys() - known.keys():
        raise ValueError(f"{kind} takes times of 1 or more, or None for ever, and these details: {sorted(known)}")
    if file_type not in (None, *data.FILE_TYPES):
        raise ValueError(f"There are backups of {data.FILE_TYPES}, not of {file_type}")
    return PlannedFault(kind, times, file_type, day, known | details)


def with_fault(backup: Backup, planned: PlannedFault) -> Backup:
    """Return the backup with a fault in its content."""
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
