"""Whether bytes are a whole backup: gzip to its end marker, its CRC right, and objects in it. Pure.

`relay.backups.lines` says what a line is. The verifier tells an object by its braces, because parsing all of them would
cost more than the decoding: a line counts as an object when it begins and ends with braces. Only the lines up to the
first object are parsed, and the last line, which a program that was stopped may have cut; lines longer than a block are
not. The reader parses all.

Odd lines do not make a file less whole: they are counted. Refused is what has lines, but not one object.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from operator import countOf, itemgetter
from typing import TYPE_CHECKING

from relay.backups.gunzip import Gunzip
from relay.backups.lines import MAX_LINE_BYTES, WHITE_SPACE, content, has_braces, parse
from relay.errors import Corrupt

if TYPE_CHECKING:
    from relay.backups.gunzip import Readable

BLOCK_BYTES = 1024 * 1024
"""How much text is looked at at a time. Of a longer line, only what it begins and ends with is kept."""

LIST_BYTES = 64 * 1024
"""How many of a block's lines are put into a list at a time: all of them would take many times the block's memory, and
fall out of the processor's cache. If one of them is not as simple as most, these are looked at one by one."""

HEAD_BYTES = 256
"""How much is kept of what a file begins with, to name what it is if it is not a backup."""

_OPENING, _CLOSING = b"{}"
_first, _last = itemgetter(0), itemgetter(-2)  # the byte after the last one is the line's newline


@dataclass(frozen=True, slots=True)
class Content:
    """What a whole backup contains.

    Attributes:
        lines: How many objects.
        text_bytes: The length of everything, newlines included.
        empty: How many lines are empty.
        odd: How many lines are neither empty nor an object.
        first_odd: The number of the first odd line, from 1; None if there is none.
    """

    lines: int
    text_bytes: int
    empty: int = 0
    odd: int = 0
    first_odd: int | None = None


def verify(file: Readable) -> Content:
    """Read a file to its end.

    Args:
        file: Returns the compressed bytes; what it raises is passed on.

    Returns:
        What it contains.

    Raises:
        Corrupt: It is not a whole gzip file, or it has lines, but no object; the reason says what it is instead.
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
        self._long: _LongLine | None = None  # what came before it, if the line is longer than a block
        self._bytes = 0
        self._objects = self._empty = self._odd = 0
        self._first_odd: int | None = None
        self._parsed = False  # whether a line was an object to the parser, too
        self._head = b""
        self._last = b""  # the last line that is not empty, if it counts as an object by its braces alone
        self._last_number = 0

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
            self._look(end)
            self._block[: filled - end] = self._block[end:filled]
        self._kept = filled - end
        if self._kept == BLOCK_BYTES:
            self._long = self._long or _LongLine()
            self._long.add(bytes(self._block))
            self._kept = 0

    def end(self) -> Content:
        """Look at the last line, whether or not a newline ends it."""
        if self._kept or self._long:
            self._block[self._kept : self._kept + 1] = b"\n"
            self._look(self._kept + 1)
        if self._last and not _is_object(self._last):
            self._objects -= 1
            self._count_odd(self._last_number)
        if self._odd and not self._objects:
            raise Corrupt(_not_a_backup(self._head, self._odd))
        return Content(self._objects, self._bytes, self._empty, self._odd, self._first_odd)

    @property
    def _number(self) -> int:
        """How many lines there were."""
        return self._objects + self._empty + self._odd

    def _look(self, end: int) -> None:
        """Count the whole lines before `end`."""
        start = 0
        if self._long:
            start = self._text.find(b"\n") + 1
            self._long.add(bytes(self._block[:start]))
            self._count_long(self._long)
            self._long = None
        if not self._parsed and not self._text[start:end].strip(WHITE_SPACE):
            self._empty += self._text.count(b"\n", start, end)
            return
        while not self._parsed and start < end:
            begin, start = start, self._text.find(b"\n", start) + 1
            self._count_one(bytes(self._block[begin:start]))
        if start < end:
            self._count(start, end)

    def _count(self, start: int, end: int) -> None:
        """Count lines, of which most often all are objects without anything around them."""
        count = _count_objects(self._block[start:end])
        if count is None:
            self._count_mixed(bytes(self._block[start:end]))
            return
        self._objects += count
        self._last = bytes(self._block[max(start, self._text.rfind(b"\n", 0, end - 1) + 1) : end])
        self._last_number = self._number

    def _count_mixed(self, text: bytes) -> None:
        """Count lines, a few at a time, since most of them may still be as simple."""
        read_lines = io.BytesIO(text.replace(b"\r\n", b"\n")).readlines
        while lines := read_lines(LIST_BYTES):
            full = list(filter(b"\n".__ne__, lines))
            if not _all_have_braces(full):
                for line in lines:
                    self._count_one(line)
                continue
            if full:
                self._last = full[-1]
                self._last_number = self._number + len(lines) - lines[::-1].index(self._last)
            self._objects += len(full)
            self._empty += len(lines) - len(full)

    def _count_one(self, line: bytes) -> None:
        """Count one line; parse it if none was parsed with success."""
        text = content(line)
        if not text:
            self._empty += 1
            return
        self._head = self._head or text[:HEAD_BYTES]
        self._last = b""
        if not has_braces(text) or not (self._parsed or _is_object(line)):
            self._count_odd(self._number + 1)
            return
        self._objects += 1
        if self._parsed:
            self._last, self._last_number = line, self._number
        self._parsed = True

    def _count_long(self, line: _LongLine) -> None:
        """Count a line that is longer than a block."""
        self._head = self._head or line.first
        if not line.first:
            self._empty += 1
            return
        self._last = b""
        if has_braces(line.first + line.last) and line.size <= MAX_LINE_BYTES:
            self._objects += 1
        else:
            self._count_odd(self._number + 1)

    def _count_odd(self, number: int) -> None:
        self._odd += 1
        self._first_odd = min(number, self._first_odd or number)


class _LongLine:
    """What a line that is longer than a block begins and ends with.

    Attributes:
        size: Its length, without its newline.
        first: What its content begins with.
        last: The last byte of its content.
    """

    def __init__(self) -> None:
        self.size = 0
        self.first = self.last = b""

    def add(self, piece: bytes) -> None:
        """Go on with the next bytes of it."""
        self.size += len(piece) - piece.endswith(b"\n")
        text = piece.strip(WHITE_SPACE) if self.first else content(piece)
        self.first = self.first or text[:HEAD_BYTES]
        self.last = text[-1:] or self.last


def _count_objects(lines: memoryview) -> int | None:
    """Count lines if all of them have braces at their very ends; None if not."""
    count = 0
    read_lines = io.BytesIO(lines).readlines
    while some := read_lines(LIST_BYTES):
        if not _all_have_braces(some):
            return None
        count += len(some)
    return count


def _all_have_braces(lines: list[bytes]) -> bool:
    """Return whether every line begins and ends with a brace, which is quickest to find a column at a time."""
    # Of a line of nothing but its newline, only the first byte is looked at: there is no other.
    return countOf(map(_first, lines), _OPENING) == len(lines) == countOf(map(_last, lines), _CLOSING)


def _is_object(line: bytes) -> bool:
    try:
        parse(line)
    except ValueError:
        return False
    return True


_LOOKS = (
    ((b"\x1f\x8b",), "gzip data within the gzip file, which was compressed twice"),
    ((b"pk\x03\x04",), "a ZIP archive"),
    ((b"<!doctype html", b"<html"), "a web page"),
    ((b"<",), "XML, such as an error of the storage"),
    ((b"[",), "a JSON list"),
    ((b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{"), "text in UTF-16"),
    ((b"{",), "JSON objects that are cut, too long, or on several lines each"),
)
"""What a file begins with, in lower case, and what it is then."""


def _not_a_backup(head: bytes, lines: int) -> str:
    """Return why a file is refused that begins with `head`, and has no object in so many lines."""
    looks = (what for beginnings, what in _LOOKS if head.lower().startswith(beginnings))
    what = next(looks, "binary data" if b"\0" in head else "other text")
    each = "its only line is not a JSON object" if lines == 1 else f"none of its {lines} lines is a JSON object"
    return f"the file holds {what}: {each}; if Firestream keeps sending it, report it to StockTwits"
