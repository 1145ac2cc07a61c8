"""The lines of backups as rows of a table. Pure.

What a line does not have, or has in another shape than documented, is null; the column ``raw`` has the whole line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from relay_cli.text import LARGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    Row = list[Any]


class Kind(StrEnum):
    """What a column holds; each may be null."""

    DAY = "day"
    NUMBER = "number"
    MOMENT = "moment"
    """A text in ISO 8601; in Parquet a timestamp, or null if it cannot be read."""
    TEXT = "text"
    TEXTS = "texts"
    RAW = "raw"
    """The line as it is stored, as bytes."""


def _field(*path: str) -> Callable[[dict[str, Any]], object]:
    """Return what reads the field at a path; None where a line has none."""

    def read(fields: Any) -> object:  # noqa: ANN401  any JSON value
        for name in path:
            fields = fields.get(name) if isinstance(fields, dict) else None
        return fields

    return read


def _symbols(fields: dict[str, Any]) -> object:
    found = fields.get("symbols")
    return [each.get("symbol") for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _happened_at(fields: dict[str, Any]) -> object:
    return fields.get("created_at", fields.get("time"))


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        name: Its name.
        kind: What it holds.
        read: Reads its value in the fields of a line, whatever that is; None for the day and the line itself.
    """

    name: str
    kind: Kind
    read: Callable[[dict[str, Any]], object] | None = None


COLUMNS = {
    "message": (
        Column("day", Kind.DAY),
        Column("id", Kind.NUMBER, _field("id")),
        Column("created_at", Kind.MOMENT, _field("created_at")),
        Column("body", Kind.TEXT, _field("body")),
        Column("user_id", Kind.NUMBER, _field("user", "id")),
        Column("username", Kind.TEXT, _field("user", "username")),
        Column("symbols", Kind.TEXTS, _symbols),
        Column("sentiment", Kind.TEXT, _field("entities", "sentiment", "basic")),
        Column("raw", Kind.RAW),
    ),
    "activity": (
        Column("day", Kind.DAY),
        Column("object", Kind.TEXT, _field("object")),
        Column("action", Kind.TEXT, _field("action")),
        Column("created_at", Kind.MOMENT, _happened_at),
        Column("raw", Kind.RAW),
    ),
}
"""The columns of each file type. Activities come in two shapes: see docs/athena.md."""


def row(columns: Sequence[Column], day: date, line: bytes) -> Row:
    """Return a line of a day's backup as a row."""
    fields = _fields(line)
    return [
        _value(each.read(fields), each.kind) if each.read else day if each.kind is Kind.DAY else line
        for each in columns
    ]


def _fields(line: bytes) -> dict[str, Any]:
    """Decode a line; none of its fields if that goes too deep. `relay.archive.read_backup` has read it as an object."""
    try:
        try:
            found = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            found = json.loads(line.decode(errors="replace"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _value(value: object, kind: Kind) -> object:
    """Return a value if it is of its column's kind; None otherwise."""
    if kind is Kind.NUMBER:
        return value if type(value) is int and -LARGEST <= value <= LARGEST else None
    if kind is Kind.TEXTS and isinstance(value, list):
        return [_text(each) for each in value if isinstance(each, str)]
    return _text(value) if isinstance(value, str) else None


def _text(text: str) -> str:
    r"""Return a text that every format can hold: JSON can have half a character, as in ``\ud83d``."""
    return text if text.isascii() else text.encode(errors="replace").decode()
