"""Whether bytes are a whole backup: gzip to its end marker, its CRC right, and every line a JSON object. Pure.

A line counts as an object when it begins and ends with braces; parsing all of them would cost more than the
decoding. The first and the last are parsed.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING

from relay.backups.gunzip import Gunzip
from relay.errors import Corrupt

if TYPE_CHECKING:
    from relay.backups.gunzip import Readable

BLOCK_BYTES = 1024 * 1024
"""How much text is looked at at a time; also the longest line that does not count as damage."""

LINES_AT_A_TIME = 512
"""So many lines' ends are compared at a time: a list of them all would take many times the block for short lines, and a
longer one would wake the garbage collector (after 700 new objects on Python 3.11 and 3.12)."""

_BRACES = (ord("{"), ord("}"))
_ends = itemgetter(0, -2)  # a line's last byte is its newline


@dataclass(frozen=True, slots=True)
class Content:
    """What a whole backup contains.

    Attributes:
        lines: How many objects.
        text_bytes: Their length, newlines included.
    """

    lines: int
    text_bytes: int


def verify(file: Readable) -> Content:
    """Read a file to its end.

    Args:
        file: Returns the compressed bytes; what it raises is passed on.

    Returns:
        What it contains.

    Raises:
        Corrupt: It is not a whole gzip file, or a line is not a JSON object; the reason says which and where.
    """
    text = _Text()
    decoded = Gunzip(file)
    while size := decoded.readinto(text.free):
        text.add(size)
    return text.end()


class _Text:
    """The lines as they are decoded, one block at a time."""

    def __init__(self) -> None:
        self._text = bytearray(BLOCK_BYTES)
        self._block = memoryview(self._text)
        self._kept = 0  # the beginning of a line, moved to the block's beginning
        self._lines = 0
        self._bytes = 0
        self._last = b""

    @property
    def free(self) -> memoryview:
        """Where the next bytes go."""
        return self._block[self._kept :]

    def add(self, size: int) -> None:
        """Look at the lines that the last `size` bytes completed."""
        filled = self._kept + size
        end = self._text.rfind(b"\n", self._kept, filled) + 1
        self._bytes += size
        if end:
            self._check(end)
            self._block[: filled - end] = self._block[end:filled]
            self._kept = filled - end
        else:
            self._kept = filled
        if self._kept == BLOCK_BYTES:
            raise Corrupt(f"line {self._lines + 1} is longer than {BLOCK_BYTES} bytes")

    def end(self) -> Content:
        """Look at the last line, whether or not a newline ends it."""
        if self._kept:
            self._block[self._kept : self._kept + 1] = b"\n"
            self._check(self._kept + 1)
        if self._lines:
            _check_json(self._last, self._lines)
        return Content(self._lines, self._bytes)

    def _check(self, end: int) -> None:
        """Check the whole lines before `end`."""
        count, whole = 0, True
        lines_ends = map(_ends, io.BytesIO(self._block[:end]))
        try:
            while ends := list(islice(lines_ends, LINES_AT_A_TIME)):
                count += len(ends)
                whole = whole and ends.count(_BRACES) == len(ends)
        except IndexError:  # a line of nothing but its newline
            whole = False
        if not whole:
            lines = enumerate(io.BytesIO(self._block[:end]), self._lines + 1)
            number = next(number for number, line in lines if len(line) == 1 or _ends(line) != _BRACES)
            raise Corrupt(f"line {number} is not a JSON object")
        if not self._lines:
            _check_json(bytes(self._block[: self._text.find(b"\n")]), 1)
        self._lines += count
        self._last = bytes(self._block[self._text.rfind(b"\n", 0, end - 1) + 1 : end])


def _check_json(line: bytes, number: int) -> None:
    try:
        whole = isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        whole = False
    if not whole:
        raise Corrupt(f"line {number} is not a JSON object")
