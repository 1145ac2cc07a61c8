"""The files that hold a table's rows: CSV and JSON lines; `relay_cli.parquet` has Parquet."""

from __future__ import annotations

import csv
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO, Protocol

import msgspec

from relay_cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from relay_cli.rows import Column, Row


class Format(StrEnum):
    """The format of a file, which is also how its name ends."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


class Table(Protocol):
    """A file of rows."""

    def write(self, row: Row) -> None:
        """Add a row."""

    def close(self) -> None:
        """Write what is still to be written; the file itself stays open."""

    def discard(self) -> None:
        """Write nothing more, so that the file cannot look complete."""


class JsonLines:
    """JSON lines: an object for each row, with the line itself as the value of ``raw``."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        """Write to an open file."""
        self._write = file.write
        self._names = [each.name for each in columns]
        self._encode = msgspec.json.Encoder().encode

    def write(self, row: Row) -> None:
        """Add a row."""
        values = [msgspec.Raw(each) if isinstance(each, bytes) else each for each in row]
        self._write(self._encode(dict(zip(self._names, values, strict=True))) + b"\n")

    def close(self) -> None:
        """Do nothing: every row is written."""

    discard = close


class Csv:
    """CSV as in RFC 4180, in UTF-8, with a first row of names; several texts are separated by commas."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        """Write to an open file."""
        self._writer = csv.writer(_Utf8(file))
        self._writer.writerow([each.name for each in columns])

    def write(self, row: Row) -> None:
        """Add a row."""
        self._writer.writerow([_cell(each) for each in row])

    def close(self) -> None:
        """Do nothing: every row is written."""

    discard = close


class _Utf8:
    """Text for a binary file; unlike a `io.TextIOWrapper`, it never closes the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._write = file.write

    def write(self, text: str) -> int:
        return self._write(text.encode(errors="replace"))


def table_class(kind: Format) -> Callable[[BinaryIO, Sequence[Column]], Table]:
    """Return what writes a format.

    Raises:
        Failure: It needs pyarrow, which is not installed.
    """
    if kind is Format.CSV:
        return Csv
    if kind is Format.JSONL:
        return JsonLines
    try:
        from relay_cli.parquet import Parquet  # noqa: PLC0415  slow to import, and not everybody installs it
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyarrow":
            raise
        raise Failure(
            "Parquet needs pyarrow, which is not installed. In your copy of the relay, run: pip install '.[export]'\n"
            "CSV and JSON lines need nothing: --format csv or --format jsonl.",
            USAGE,
        ) from None
    return Parquet


@contextmanager
def completed(table: Table) -> Iterator[Table]:
    """Close a table once the block ends, or discard it after an error, such as of a disk that is full."""
    try:
        yield table
    except BaseException:
        table.discard()
        raise
    table.close()


def _cell(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return ",".join(map(str, value)) if isinstance(value, list) else value
