"""Reading a backup: a dict or a typed struct for each line, streaming, in little memory."""

from __future__ import annotations

import io
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, overload

import msgspec

from relay.backups.gunzip import Gunzip
from relay.errors import Reject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from mypy_boto3_s3 import S3Client

    Source = str | PathLike[str] | BinaryIO

_Line = TypeVar("_Line")

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

BLOCK_BYTES = 64 * 1024
"""How much text is decoded at a time: the objects of more lines fall out of the processor's cache. The buffer
grows for a longer line."""


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
    """A line of a ``message`` backup, as far as every source agrees on it; further fields are passed over."""

    id: int
    body: str
    created_at: str
    user: User
    symbols: list[Symbol] = []
    entities: Entities | None = None


@overload
def read_backup(source: Source, *, s3: S3Client | None = None) -> Iterator[dict[str, Any]]: ...


@overload
def read_backup(source: Source, *, type: type[_Line], s3: S3Client | None = None) -> Iterator[_Line]: ...


def read_backup(source: Source, *, type: Any = dict, s3: S3Client | None = None) -> Iterator[Any]:  # noqa: A002
    """Read a backup line by line.

    Args:
        source: A path, an open binary file, or ``s3://bucket/key``.
        type: What each line is to be: any type that msgspec decodes into, such as `Message`. A struct with the few
            fields that are needed is several times as fast as a dict of them all.
        s3: The client for ``s3://``; without it one is made with the usual credentials.

    Yields:
        One for each line.

    Raises:
        Corrupt: The gzip data is damaged, or ends early.
        Reject: A line is not a JSON object, or does not fit the type; the reason names its number.
        OSError, ClientError: The source cannot be read.
    """
    decoder = msgspec.json.Decoder(type)
    lines = kept = 0
    buffer = bytearray(BLOCK_BYTES)
    with ExitStack() as closing:
        decoded = Gunzip(_open(source, s3, closing))
        while size := _fill(buffer, kept, decoded):
            end = buffer.rfind(b"\n", kept, kept + size) + 1
            kept += size
            if end:
                batch = _decode(decoder, buffer[:end], lines)
                lines += len(batch)
                yield from batch
                buffer[: kept - end] = buffer[end:kept]
                kept -= end
            if kept == len(buffer):  # a long line; a new buffer, since none can grow while a view of it is left
                buffer = buffer + bytes(kept)
        if kept:
            yield from _decode(decoder, buffer[:kept], lines)


def _fill(buffer: bytearray, start: int, decoded: Gunzip) -> int:
    with memoryview(buffer)[start:] as view:
        return decoded.readinto(view)


def _open(source: Source, s3: S3Client | None, closing: ExitStack) -> Any:  # noqa: ANN401  a binary file
    if isinstance(source, str) and source.startswith("s3://"):
        if s3 is None:
            import boto3  # noqa: PLC0415  only who reads from S3 pays for it

            s3 = boto3.client("s3")
        bucket, _, key = source.removeprefix("s3://").partition("/")
        body = s3.get_object(Bucket=bucket, Key=key)["Body"]
        closing.callback(body.close)
        return body
    if hasattr(source, "read"):
        return source
    return closing.enter_context(open(source, "rb"))  # noqa: PTH123  str or path


def _decode(decoder: msgspec.json.Decoder[_Line], lines: bytearray, before: int) -> list[_Line]:
    """Decode whole lines; `before` is how many came before them."""
    try:
        return decoder.decode_lines(lines)
    except _UNREADABLE:
        for number, line in enumerate(io.BytesIO(lines), before + 1):
            try:
                decoder.decode(line)
            except _UNREADABLE as error:
                raise Reject(f"line {number}: {error}") from None
        raise
