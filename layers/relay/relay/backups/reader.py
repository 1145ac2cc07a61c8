"""Reading a backup: a dict or a typed struct for each line, streaming, in little memory.

`relay.backups.lines` says what a line is. msgspec decodes it, and the standard library what msgspec refuses: it reads
lone surrogates, NaN and Infinity, too.
"""

from __future__ import annotations

import io
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar, overload

import msgspec

from relay.backups.gunzip import Gunzip
from relay.backups.lines import MAX_LINE_BYTES, content, parse
from relay.errors import Reject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

    from mypy_boto3_s3 import S3Client

    Source = str | PathLike[str] | BinaryIO
    Errors = Literal["raise", "skip"] | Callable[["BadLine"], object]

_Line = TypeVar("_Line")

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_ANYTHING = (Any, object, msgspec.Raw)
"""The types that msgspec decodes whatever is JSON into, and not only objects."""

BLOCK_BYTES = 64 * 1024
"""How much text is decoded at a time: the objects of more lines fall out of the processor's cache."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be read.

    Attributes:
        number: Its number in the file, from 1; empty lines count.
        text: The line as it is stored, without its newline; of a line that is too long, the beginning.
        reason: Why it cannot be read, for an operator. It may quote the line.
    """

    number: int
    text: bytes
    reason: str


class User(msgspec.Struct, frozen=True, gc=False):
    """Who wrote a message."""

    id: int
    username: str
    name: str | None = None
    followers: int | None = None


class Symbol(msgspec.Struct, frozen=True, gc=False):
    """What a message is about."""

    symbol: str
    id: int | None = None
    title: str | None = None


class Sentiment(msgspec.Struct, frozen=True, gc=False):
    """``Bullish`` or ``Bearish``."""

    basic: str | None = None


class Entities(msgspec.Struct, frozen=True, gc=False):
    """What was attached to a message."""

    sentiment: Sentiment | None = None


class Message(msgspec.Struct, frozen=True, gc=False):
    """A line of a ``message`` backup, as far as every source agrees on it; further fields are passed over.

    An optional field may be missing, or null.
    """

    id: int
    body: str
    created_at: str
    user: User
    symbols_or_null: list[Symbol] | None = msgspec.field(default=None, name="symbols")
    entities: Entities | None = None

    @property
    def symbols(self) -> list[Symbol]:
        """The symbols; none if there is no list of them."""
        return self.symbols_or_null or []


@overload
def read_backup(
    source: Source, *, errors: Errors = "raise", s3: S3Client | None = None
) -> Iterator[dict[str, Any]]: ...


@overload
def read_backup(
    source: Source, *, type: type[_Line], errors: Errors = "raise", s3: S3Client | None = None
) -> Iterator[_Line]: ...


def read_backup(
    source: Source,
    *,
    type: Any = dict,  # noqa: A002
    errors: Errors = "raise",
    s3: S3Client | None = None,
) -> Iterator[Any]:
    """Read a backup line by line. Empty lines are passed over.

    Args:
        source: A path, an open binary file, or ``s3://bucket/key``. A transfer from S3 that breaks goes on where it
            broke, as long as the object is the same.
        type: What each line is to be: any type that msgspec decodes an object into, such as `Message`. A struct with
            the few fields that are needed is several times as fast as a dict of them all.
        errors: What to do about a line that is not a JSON object, or does not fit the type: ``"raise"`` stops there,
            ``"skip"`` passes it over, and a function is called with the `BadLine` before the next line is read; what
            the function raises ends the reading.
        s3: The client for ``s3://``; without it one is made with the usual credentials.

    Yields:
        One for each line. All lines before a bad one come before it is reported.

    Raises:
        Reject: With ``errors="raise"``, a line is bad; the reason begins with its number, as in ``line 7: ...``.
        Corrupt: The gzip data is damaged, or ends early, or S3's checksum does not match.
        StartOver: The object was replaced while it was read, after the transfer had broken; read it again.
        OSError, ClientError, BotoCoreError: The source cannot be read.
        ValueError: `errors` is something else.
    """
    if errors not in ("raise", "skip") and not callable(errors):
        raise ValueError(f'errors is "raise", "skip" or a function, not {errors!r}')
    return _Reading(type, errors).read(source, s3)


class _Reading:
    """One reading of one backup: the type, what to do about a bad line, and how many lines there were."""

    def __init__(self, kind: Any, errors: Errors) -> None:  # noqa: ANN401  any type
        self._kind = kind
        self._errors = errors
        self._decode_json = msgspec.json.Decoder(kind).decode
        self._decode = self._decode_object if kind in _ANYTHING else self._decode_json
        self._number = 0

    def read(self, source: Source, s3: S3Client | None) -> Iterator[Any]:
        """Yield what becomes of each line."""
        text = bytearray(BLOCK_BYTES)
        block = memoryview(text)
        kept = 0  # the beginning of a line, moved to the block's beginning
        long: _LongLine | None = None  # what came before it, if the line is longer than a block
        with ExitStack() as closing:
            decoded = Gunzip(_open(source, s3, closing))
            while size := decoded.readinto(block[kept:]):
                filled = kept + size
                end = text.rfind(b"\n", kept, filled) + 1
                if end:
                    start = 0
                    if long:
                        start = text.find(b"\n") + 1
                        long.add(bytes(block[:start]))
                        for values in self._decode_long(long):
                            yield from values
                        long = None
                    for values in self._decode_lines(bytes(block[start:end])):
                        yield from values
                        # New objects then take the memory of these, which is in the processor's cache.
                        del values
                    block[: filled - end] = block[end:filled]
                kept = filled - end
                if kept == BLOCK_BYTES:
                    long = long or _LongLine()
                    long.add(bytes(block))
                    kept = 0
            if long:
                long.add(bytes(block[:kept]))
                for values in self._decode_long(long):
                    yield from values
            else:
                for values in self._decode_lines(bytes(block[:kept])):
                    yield from values

    def _decode_lines(self, text: bytes) -> Iterator[list[Any]]:
        """Yield what becomes of whole lines, as many at a time as there are before the next bad one."""
        lines = io.BytesIO(text)
        end = 0
        while end < len(text):
            values: list[Any] = []
            refused = False
            try:
                values.extend(map(self._decode, lines))  # which keeps what comes before an error
            except _UNREADABLE:
                refused = True
            self._number += len(values)
            yield values
            del values
            end = lines.tell()
            if refused:
                yield self._decode_again(text[text.rfind(b"\n", 0, end - 1) + 1 : end])

    def _decode_again(self, line: bytes) -> list[Any]:
        """Return what becomes of a line that msgspec does not take as it is: a value, or nothing."""
        self._number += 1
        text = content(line)
        if not text:
            return []
        try:
            return [self._convert(parse(line), text)]
        except (ValueError, msgspec.ValidationError) as error:
            self._report(line, str(error))
            return []

    def _decode_long(self, line: _LongLine) -> Iterator[list[Any]]:
        text = line.text
        if line.size <= MAX_LINE_BYTES and text:
            yield from self._decode_lines(text)
            return
        self._number += 1
        if text:
            self._report(text, f"it is longer than {MAX_LINE_BYTES} bytes")

    def _decode_object(self, line: bytes) -> Any:  # noqa: ANN401  of the type
        if not content(line).startswith(b"{"):
            raise msgspec.DecodeError
        return self._decode_json(line)

    def _convert(self, value: dict[str, Any], text: bytes) -> Any:  # noqa: ANN401  of the type
        """Make a value of the type from what the standard library read; raises ValidationError if it does not fit."""
        if self._kind is msgspec.Raw:
            return msgspec.Raw(text)
        try:
            return msgspec.convert(value, self._kind)
        except UnicodeEncodeError:  # a name with a lone surrogate, which no field has
            return msgspec.convert(_with_names_in_utf_8(value), self._kind)

    def _report(self, line: bytes, reason: str) -> None:
        if self._errors == "raise":
            raise Reject(f"line {self._number}: {reason}")
        if self._errors != "skip":
            self._errors(BadLine(self._number, line.removesuffix(b"\n"), reason))


class _LongLine:
    """A line that is longer than a block; of one that is too long to be read, the beginning.

    Attributes:
        size: Its length, without its newline.
    """

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        """Go on with the next bytes of it."""
        self.size += len(piece) - piece.endswith(b"\n")
        if self._pieces or content(piece):
            self._pieces.append(piece)
        if self.size > MAX_LINE_BYTES:
            del self._pieces[1:]

    @property
    def text(self) -> bytes:
        """Its bytes; pieces of nothing that counts at its beginning are left out."""
        return b"".join(self._pieces)


def _open(source: Source, s3: S3Client | None, closing: ExitStack) -> Any:  # noqa: ANN401  a binary file
    if isinstance(source, str) and source.startswith("s3://"):
        import boto3  # noqa: PLC0415  only who reads from S3 pays for it

        from relay.backups.stored_object import StoredObject  # noqa: PLC0415  the same

        bucket, _, key = source.removeprefix("s3://").partition("/")
        return closing.enter_context(StoredObject(s3 or boto3.client("s3"), bucket, key))
    if hasattr(source, "read"):
        return source
    return closing.enter_context(open(source, "rb"))  # noqa: PTH123  str or path


def _with_names_in_utf_8(value: Any) -> Any:  # noqa: ANN401  any JSON value
    """Replace the lone surrogates in the names of all fields, since a struct's field has none in its own."""
    if isinstance(value, list):
        return [_with_names_in_utf_8(each) for each in value]
    if isinstance(value, dict):
        return {name.encode(errors="replace").decode(): _with_names_in_utf_8(each) for name, each in value.items()}
    return value
