"""The content of backups in every odd kind: pure functions from the bytes of a gzip file to others.

What is damaged already stays as it is, and what is not gzip is taken as the lines themselves.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import zipfile
import zlib
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from local.stand_ins.firestream.contrary import Contrary, Details

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_GZIP = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Maintenance</title></head>\n<body>We will be back soon</body></html>\n"
_XML_ERROR = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InternalError</Code></Error>\n'
_TRAILER_BYTES = 8
"""A gzip member ends in the CRC and the length of its content, four bytes each (RFC 1952)."""
_DEPTH = 500
"""Deeper than any record, and less deep than the standard library's reader can go (about 1,000)."""
_PIECE = 1 << 20

BAD_LINES = {
    "words": b"This is not a JSON object",
    "list": b"[1]",
    "string": b'"text"',
    "number": b"1",
    "null": b"null",
    "two-objects": b'{"id":2}{"id":3}',
    "cut": b'{"id":1,"body":"cut","user":{"id":2}',
    "cut-open": b'{"id":1,"body":"cu',
    "braces": b"{not JSON}",
    "control": b'{"id":1,"body":"a\x01b"}',
    "not-utf-8": b'{"id":1,"body":"\xff"}',
    "trailing-comma": b'{"id":1,}',
    "single-quotes": b"{'id':1}",
}
"""Lines that are not JSON objects; `cut` and some others look like one by their braces."""

_AROUND = {
    "after": (b"", b" "),
    "before": (b" ", b""),
    "both": (b"  ", b"  "),
    "tabs": (b"\t", b" \t"),
    "crlf": (b"", b"\r"),
}


def altered(kind: Contrary, details: Details, content: bytes) -> bytes:
    """Return a file's content as a behaviour of the kind `CONTENT` has it.

    Args:
        kind: The behaviour.
        details: All of its details.
        content: A gzip file with a JSON object in each line.
    """
    return _unless_damaged(content, lambda: _altered(kind, json.dumps(dict(details)), content))


@lru_cache(maxsize=32)  # a link is often followed several times
def _altered(kind: Contrary, details_json: str, content: bytes) -> bytes:
    details = json.loads(details_json)
    match kind:
        case Contrary.LONG_LINE:
            return _with_long_line(details, _lines(content))
        case Contrary.MEMBERS:
            return _in_members(details, content)
        case Contrary.OTHER_FORMAT:
            return _in_other_format(details["form"], content)
        case Contrary.DAMAGED:
            return damaged(details["form"], content)
        case _:
            return packed(_text(kind, details, _lines(content)))


def _unless_damaged(content: bytes, change: Callable[[], bytes]) -> bytes:
    try:
        return change()
    except (OSError, EOFError, zlib.error):  # what gzip raises
        return content


def packed(text: bytes) -> bytes:
    """Return the text as one gzip member: always the same bytes."""
    return gzip.compress(text, mtime=0)


def first_lines(count: int, content: bytes) -> bytes:
    """Return the file with its first lines only."""
    return _unless_damaged(content, lambda: packed(_joined(_lines(content)[:count])))


def emptied(form: str) -> bytes:
    """Return a file without objects: gzip of no bytes, no bytes at all, or gzip of one line feed."""
    return {"gzip": packed(b""), "bytes": b"", "line": packed(b"\n")}[form]


def reissued(form: str, share: float, content: bytes) -> bytes:
    """Return another version of a file.

    Args:
        form: `shorter` or `longer`, `reordered` (the same lines), `recompressed` (the same text) or `damaged`.
        share: The share of the lines that a shorter file lacks, and that a longer one repeats.
        content: The file.
    """
    return _unless_damaged(content, lambda: _reissued(form, share, content))


def _reissued(form: str, share: float, content: bytes) -> bytes:
    lines = _lines(content)
    moved = round(len(lines) * share)
    match form:
        case "shorter":
            return packed(_joined(lines[: len(lines) - moved]))
        case "longer":
            return packed(_joined([*lines, *lines[:moved]]))
        case "reordered":
            return packed(_joined(lines[::-1]))
        case "recompressed":
            return gzip.compress(_joined(lines), compresslevel=1, mtime=1)
        case _:
            return damaged("half", content)


def damaged(form: str, content: bytes) -> bytes:
    """Return a gzip file that is not whole: `form` says where it ends, or what is wrong in its last eight bytes."""
    end = len(content)
    trailer = max(end - _TRAILER_BYTES, 0)
    ends = {"header": 5, "half": end // 2, "trailer": trailer, "within-trailer": trailer + 4}
    if form in ends:
        return content[: ends[form]]
    if form == "second-member":
        return content + content[: end // 2]
    position = trailer if form == "crc" else trailer + 4
    flipped = bytes(each ^ 1 for each in content[position : position + 1])
    return content[:position] + flipped + content[position + 1 :]


def _lines(content: bytes) -> list[bytes]:
    """Return the lines without their line feeds."""
    text = gzip.decompress(content) if content.startswith(_GZIP) else content
    lines = text.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _joined(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _positions(places: Sequence[float] | None, count: int) -> list[int]:
    """Return the places as positions before, or of, the `count` lines: numbers, or fractions; None for all lines."""
    if places is None:
        return list(range(count))
    return [min(int(place * count) if isinstance(place, float) else place, count) for place in places]


def _text(kind: Contrary, details: dict[str, Any], lines: list[bytes]) -> bytes:
    form = details.get("form", "")
    match kind:
        case Contrary.CRLF | Contrary.SPACES:
            before, after = _AROUND[form or "crlf"]
            return _joined(_changed(lines, details["places"], lambda line: before + line + after))
        case Contrary.BYTE_ORDER_MARK:
            return _with_byte_order_mark(form, lines)
        case Contrary.EMPTY_LINES:
            return _with_empty_lines(form, details["count"], lines)
        case Contrary.BAD_LINES:
            bad = BAD_LINES[form] if details["line"] is None else details["line"].encode()
            for position in sorted(_positions(details["places"], len(lines)), reverse=True):
                lines[position:position] = [bad] * details["count"]
            return _joined(lines)
        case Contrary.ODD_VALUES:
            return _joined(_changed(lines, details["places"], lambda line: _with_odd_value(form, line)))
        case _:  # NO_LAST_LINE_FEED
            return b"\n".join(lines)


def _changed(lines: list[bytes], places: Sequence[float] | None, change: Callable[[bytes], bytes]) -> Iterator[bytes]:
    positions = {min(position, len(lines) - 1) for position in _positions(places, len(lines))}
    return (change(line) if number in positions else line for number, line in enumerate(lines))


def _with_byte_order_mark(form: str, lines: list[bytes]) -> bytes:
    match form:
        case "first":
            return BYTE_ORDER_MARK + _joined(lines)
        case "middle":
            return _joined(_changed(lines, [0.5], lambda line: BYTE_ORDER_MARK + line))
        case "each-line":
            return _joined(BYTE_ORDER_MARK + line for line in lines)
        case _:  # only
            return BYTE_ORDER_MARK


def _with_empty_lines(form: str, count: int, lines: list[bytes]) -> bytes:
    empty = [b" \t" if form == "white" else b""] * count
    if form == "only":
        return _joined(empty)
    position = {"first": 0, "last": len(lines)}.get(form, len(lines) // 2)
    return _joined([*lines[:position], *empty, *lines[position:]])


def _with_odd_value(form: str, line: bytes) -> bytes:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        return line
    messages = "body" in record
    odd: dict[str, object] = {
        "lone-surrogate": record | {"body": "cut in two: \ud83d"},
        "nan": record | {"score": float("nan")},
        "infinity": record | {"score": float("-inf")},
        "big-number": record | {"id": 10**30},
        "escapes": record | {"body": "\x1b]0;owned\x07\x1b[2J"},
        "nul": record | {"body": "a\0b"},
        "shape": record | {"entities": {"sentiment": "Bullish"}, "user": 7, "symbols": "AAPL", "data": []},
        "nulls": dict.fromkeys(record) | {"id": record.get("id")},
        "missing": {"id": record.get("id")},
        "empty": {},
        "another-kind": (
            {"object": "LikeMessage", "action": "create", "data": {"id": 1, "user_id": 2, "message_id": 3}, "time": ""}
            if messages
            else {"id": 1, "body": "hello", "created_at": "2024-01-02T00:00:00Z", "user": {"id": 2}}
        ),
    }
    if form == "duplicate-keys":
        return b'{"id":0,"body":"first",' + line.lstrip()[1:]
    if form == "deep":
        return line.rstrip()[:-1] + b',"deep":' + b"[" * _DEPTH + b"]" * _DEPTH + b"}"
    return json.dumps(odd[form], separators=(",", ":")).encode()


_LONG = {"text": (b'{"id":1,"body":"', b"x", b'"}'), "list": (b'{"id":1,"symbols":[0', b",0", b"]}")}
_LONG |= {"spaces": (b"", b" ", b""), "bad": (b"", b"x", b"")}


def _with_long_line(details: dict[str, Any], lines: list[bytes]) -> bytes:
    """Return a file with a long line, which is never in memory as a whole."""
    compressor = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)
    middle = len(lines) // 2
    pieces = [_joined(lines[:middle]), *_long_line(details["form"], details["bytes"]), _joined(lines[middle:])]
    return b"".join(compressor.compress(piece) for piece in pieces) + compressor.flush()


def _long_line(form: str, size: int) -> Iterator[bytes]:
    """Yield the pieces of a line of this many bytes, with its line feed."""
    start, unit, end = _LONG[form]
    left = size - len(start) - len(end)
    yield start + b" " * (left % len(unit))
    left -= left % len(unit)
    piece = unit * (_PIECE // len(unit))
    while left > len(piece):
        yield piece
        left -= len(piece)
    yield piece[:left] + end + b"\n"


def _in_members(details: dict[str, Any], content: bytes) -> bytes:
    lines, count = _lines(content), details["count"]
    text = _joined(lines)
    match details["form"]:
        case "within":
            # The last byte of a part is never a line feed, unless it is the file's last.
            ends = [text.rfind(b"}", 0, len(text) * part // count) for part in range(1, count)]
            bounds = [0, *ends, len(text)]
            parts = [text[start:stop] for start, stop in pairwise(bounds)]
        case "empty":
            parts = [b"", *(each for part in _divided(lines, count) for each in (part, b""))]
        case "each-line":
            parts = [line + b"\n" for line in lines]
        case "padded":
            return packed(text) + bytes(512)
        case "named":
            file = io.BytesIO()
            with gzip.GzipFile("stocktwits.json", "wb", fileobj=file, mtime=1_700_000_000) as written:
                written.write(text)
            return file.getvalue()
        case _:  # lines
            parts = _divided(lines, count)
    return b"".join(map(packed, parts))


def _divided(lines: list[bytes], count: int) -> list[bytes]:
    bounds = [len(lines) * part // count for part in range(count + 1)]
    return [_joined(lines[start:stop]) for start, stop in pairwise(bounds)]


def _in_other_format(form: str, content: bytes) -> bytes:
    if form == "gzip-twice":
        return packed(content)
    pages = {"page": PAGE, "page-in-gzip": packed(PAGE), "xml": _XML_ERROR}
    if form in pages:
        return pages[form]
    text = _joined(_lines(content))
    formats: dict[str, Callable[[bytes], bytes]] = {
        "plain": lambda same: same,
        "zlib": zlib.compress,
        "bzip2": bz2.compress,
        "zip": _zipped,
    }
    return formats[form](text)


def _zipped(text: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("day.json"), text)
    return file.getvalue()
