"""Rows in a Parquet file. Only imported for one: pyarrow is an optional dependency."""

from __future__ import annotations

from contextlib import suppress
from io import RawIOBase
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet

from relay_cli.rows import Kind
from relay_cli.text import read_moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay_cli.rows import Column, Row

GROUP_ROWS = 16_384
"""Rows in a group, which readers skip or read as a whole."""

GROUP_BYTES = 16 * 1024 * 1024
"""A group ends earlier if its lines have so many bytes, since it is kept in memory until it is written."""

_TYPES: dict[Kind, Any] = {
    Kind.DAY: pa.date32(),
    Kind.NUMBER: pa.int64(),
    Kind.MOMENT: pa.timestamp("us", "UTC"),
    Kind.TEXT: pa.string(),
    Kind.TEXTS: pa.list_(pa.string()),
    Kind.RAW: pa.string(),
}


class Parquet:
    """Parquet, compressed with Zstandard, in groups of rows."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        """Write to an open file."""
        self._columns = columns
        self._schema = pa.schema([(each.name, _TYPES[each.kind]) for each in columns])
        self._sink = _Sink(file)
        self._writer = parquet.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._rows: list[Row] = []
        self._bytes = 0

    def write(self, row: Row) -> None:
        """Add a row."""
        self._rows.append(row)
        self._bytes += sum(len(each) for each in row if isinstance(each, bytes))
        if len(self._rows) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Write the last group and the footer."""
        self._flush()
        self._writer.close()

    def discard(self) -> None:
        """Write nothing more, so that the file cannot look complete."""
        self._sink.discards = True
        with suppress(pa.ArrowException):  # a group may be incomplete
            self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            arrays = [
                pa.array([_value(each, column.kind) for each in values], _TYPES[column.kind])
                for column, values in zip(self._columns, zip(*self._rows, strict=True), strict=True)
            ]
            self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._rows, self._bytes = [], 0


class _Sink(RawIOBase):
    """What pyarrow writes to: it asks for the position, which a pipe does not know, and writes when it is closed."""

    def __init__(self, file: BinaryIO) -> None:
        """Write to a file, and leave it open."""
        self.discards = False
        self._file = file
        self._position = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, content: Any) -> int:  # noqa: ANN401  any buffer, as in the parent
        """Write all of it, or nothing once it is discarded."""
        size = memoryview(content).nbytes
        if not self.discards:
            self._file.write(content)
        self._position += size
        return size

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._position


def _value(value: Any, kind: Kind) -> object:  # noqa: ANN401  any value of a row
    if kind is Kind.MOMENT:
        return read_moment(value)
    return value.decode(errors="replace") if isinstance(value, bytes) else value
