"""One file into S3, whole or not at all: read, verified and uploaded at the same time, in flat memory.

::

    source ──► reader thread ──► parts ──► verifier (the caller's thread)
               SHA-256             └─────► uploader threads ──► multipart upload, completed only after the verdict
                                           CRC-32 of each part

A few buffers of a part each go round. The reader waits when none is free, so memory is the same whatever the size.

The two checksums have a thread each: on x86, isal's CRC-32 leaves the processor's vector registers in a state in which
OpenSSL's SHA-256 takes a third longer.

An error's traceback keeps the frames that it passed through, with all that they refer to, until the garbage collector
runs; on Python 3.12 and 3.13 also the frames that a library caught it in. Therefore a source returns bytes and
gets no view, a buffer is never resized (Python refuses that while a view of it is left), and no frame refers to a
buffer itself.
"""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from botocore.exceptions import ClientError
from isal import isal_zlib

from relay.aws_errors import AWS_ERRORS, error_code
from relay.backups.verifier import verify
from relay.errors import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

    from relay.backups.gunzip import Readable
    from relay.backups.verifier import Content

PART_BYTES = 8 * 1024 * 1024
"""The size of a part but the last. S3 takes 5 MiB or more, and 10,000 parts, which makes 78 GiB:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html."""

BUFFERS = 4
"""One is being read into, one verified, two on their way up."""

UPLOADERS = 2
"""Parts on their way up at a time; more were not faster."""

SLICE_BYTES = 1024 * 1024
"""How much is asked of the source at a time."""

_NOT_MET = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "NoSuchUpload"})
"""What S3 answers when another worker was faster: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html.
The last one: an answer was lost, and the attempt after it finds no upload, since there is an object."""


class Source(Protocol):
    """Where a file comes from."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, one to `size` of them; none at the end of the whole file.

        Raises:
            RelayError: The rest cannot be had.
        """

    def close(self) -> None:
        """Stop; a read that is under way in another thread ends at once, in whatever way."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was stored.

    Attributes:
        bytes: The size of the file.
        content: What it contains.
        sha256: Of the file, in hexadecimal.
        etag: The object's, as S3 gave it; None if none was to be made of these bytes.
        made: Whether this upload made the object, as far as is known. If not, an object of the same bytes is there: an
            answer of S3 was lost, or another worker was faster.
    """

    bytes: int
    content: Content
    sha256: str
    etag: str | None
    made: bool = True


@dataclass(frozen=True, slots=True)
class Terms:
    """When a file becomes an object.

    Attributes:
        condition: S3 makes the object only under it; without one it replaces what is there.
        inspect: Reads the file to its end, and raises what speaks against storing it.
        unless_sha256: No object is made of a file with this checksum.
    """

    condition: Mapping[str, str]
    inspect: Callable[[Readable], Content] = verify
    unless_sha256: str | None = None


NEW = Terms({"IfNoneMatch": "*"})
"""An object is created, and none replaced."""


def store(source: Source, s3: S3Client, bucket: str, key: str, terms: Terms = NEW) -> Receipt | None:
    """Store a file under a key.

    Args:
        source: Gives the file's bytes.
        s3: The client.
        bucket: Where to.
        key: Under which key.
        terms: When it becomes an object.

    Returns:
        What was stored; None when another worker was faster, with other bytes.

    Raises:
        Corrupt: The file is not a whole backup.
        RelayError: What the source raised, or S3 did not take it. In each case nothing is stored.
    """
    try:
        with _Upload(s3, bucket, key) as upload, _Parts(source, upload.send) as parts:
            content = terms.inspect(parts)
            parts.arrived()
            if not parts.size:
                raise Retry(f"there is not one byte to store as {key}")
            sha256 = parts.sha256.hexdigest()
            if sha256 == terms.unless_sha256:
                return Receipt(parts.size, content, sha256, None, made=False)
            etag, made = upload.complete(parts.size, parts.crc32, terms.condition)
            return Receipt(parts.size, content, sha256, etag, made) if etag else None
    except AWS_ERRORS as error:
        code = error_code(error)
        raise Retry(f"S3 did not take {key} ({code})") from None


class _Upload:
    """A multipart upload that is completed or aborted, whatever happens."""

    def __init__(self, s3: S3Client, bucket: str, key: str) -> None:
        self._s3 = s3
        self._where: Any = {"Bucket": bucket, "Key": key}
        self._completed = False
        self._compares_whole = True
        self._parts: dict[int, CompletedPartTypeDef] = {}

    def __enter__(self) -> Self:
        answer = self._s3.create_multipart_upload(
            **self._where, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT", ContentType="application/gzip"
        )
        self._where["UploadId"] = answer["UploadId"]
        # Stores that are only like S3 may know checksums of checksums alone; they still compare that of each part.
        self._compares_whole = answer.get("ChecksumType") != "COMPOSITE"
        return self

    def __exit__(self, *_: object) -> None:
        """Abort what was not completed; if even that fails, the bucket's lifecycle does it within a day."""
        if not self._completed:
            with suppress(*AWS_ERRORS):
                self._s3.abort_multipart_upload(**self._where)

    def send(self, number: int, part: _Part, crc32: int) -> None:
        """Upload a part; S3 compares its checksum. Several threads may send at a time."""
        answer = self._s3.upload_part(
            **self._where, PartNumber=number, Body=cast("IO[bytes]", _Body(part)), ChecksumCRC32=_base64(crc32)
        )
        self._parts[number] = {"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": _base64(crc32)}

    def complete(self, size: int, crc32: int, condition: Mapping[str, str]) -> tuple[str | None, bool]:
        """Make the object of its parts; S3 compares its size and its checksum.

        Returns:
            The object's ETag, and whether this made it. When the condition is not met, because another worker was
            faster, the ETag is that of an object of the same bytes, or None.
        """
        checksum: Any = {"ChecksumCRC32": _base64(crc32), "ChecksumType": "FULL_OBJECT"} if self._compares_whole else {}
        conditions: Any = condition
        try:
            answer = self._s3.complete_multipart_upload(
                **self._where,
                **checksum,
                **conditions,
                MultipartUpload={"Parts": [self._parts[number] for number in sorted(self._parts)]},
                MpuObjectSize=size,
            )
        except ClientError as error:
            found = self._etag() if error_code(error) in _NOT_MET else None
            if found in {None, condition.get("IfMatch")}:
                raise
            return (found if found == self._etag_of_parts() else None), False
        self._completed = True
        return answer["ETag"], True

    def _etag(self) -> str | None:
        """Return the ETag of the object that is there, if there is one."""
        answer = self._s3.list_objects_v2(Bucket=self._where["Bucket"], Prefix=self._where["Key"], MaxKeys=1)
        found = {each["Key"]: each["ETag"] for each in answer.get("Contents", [])}
        return found.get(self._where["Key"])

    def _etag_of_parts(self) -> str:
        """Return the ETag that S3 gives an object of these parts, which it encrypts with keys of its own.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
        """
        etags = [self._parts[number]["ETag"].strip('"') for number in sorted(self._parts)]
        try:
            digest = hashlib.md5(b"".join(map(bytes.fromhex, etags)), usedforsecurity=False)
        except ValueError:  # encrypted in another way, or not by S3
            return ""
        return f'"{digest.hexdigest()}-{len(etags)}"'


class _Part:
    """A part of the file in a buffer that is made once, always of the same size, and filled again and again.

    Attributes:
        size: How many bytes of it are filled.
    """

    def __init__(self) -> None:
        self.size = 0
        self._buffer = bytearray(PART_BYTES)

    def fill(self, piece: bytes) -> None:
        """Add bytes; ValueError when they do not fit."""
        end = self.size + len(piece)
        with memoryview(self._buffer) as view:
            view[self.size : end] = piece
        self.size = end

    def crc32(self) -> int:
        """Return its checksum."""
        with memoryview(self._buffer)[: self.size] as view:
            return isal_zlib.crc32(view)

    def read(self, start: int, size: int) -> bytes:
        """Return up to so many bytes from `start` on."""
        with memoryview(self._buffer)[start : min(start + size, self.size)] as view:
            return bytes(view)

    def read_into(self, target: memoryview, start: int) -> int:
        """Copy what fits from `start` on; return how many bytes that is."""
        size = min(len(target), self.size - start)
        with memoryview(self._buffer)[start : start + size] as view:
            target[:size] = view
        return size

    def discard(self) -> None:
        """Release the buffer, even if something still refers to this part."""
        self.size, self._buffer = 0, bytearray()


_Sent: TypeAlias = "Future[tuple[int, int]]"
"""A part on its way up: its CRC-32 and its size, when it has arrived."""


class _Body:
    """A part as the file that botocore sends: from its buffer, in small pieces, without a copy of the whole."""

    def __init__(self, part: _Part) -> None:
        self._part = part
        self._position = 0

    def __len__(self) -> int:
        return self._part.size

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, up to all of them."""
        piece = self._part.read(self._position, len(self) if size < 0 else size)
        self._position += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, as botocore does to measure it and to send it again."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self)}[whence]
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position


class _Parts(io.RawIOBase):
    """The file as the verifier reads it; meanwhile its parts are uploaded.

    Attributes:
        size: How many bytes were read.
        sha256: Their checksum.
        crc32: The other one, once they have arrived.
    """

    def __init__(self, source: Source, send: Callable[[int, _Part, int], None]) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self.crc32 = 0
        self._source = source
        self._send = send
        self._given_up = False
        self._made: list[_Part] = []
        self._free: SimpleQueue[_Part | None] = SimpleQueue()  # None: one that is yet to be made
        self._ready: SimpleQueue[tuple[_Part, _Sent] | BaseException | None] = SimpleQueue()  # None: the end
        self._sending: list[_Sent] = []
        self._part: _Part | None = None
        self._position = 0
        self._uploaders = ThreadPoolExecutor(UPLOADERS, "uploader")
        self._reader = threading.Thread(target=self._read_all, name="reader", daemon=True)

    def __enter__(self) -> Self:
        for _ in range(BUFFERS):
            self._free.put(None)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing running, however it ended: parts in flight must have arrived before an abort."""
        self._given_up = True
        self._free.put(None)
        self._source.close()
        self._reader.join()
        self._uploaders.shutdown(cancel_futures=True)
        # An error's traceback may keep this object and the parts for a while; it must not keep the buffers.
        for part in self._made:
            part.discard()

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  as in the parent
        """Give the next bytes to the verifier.

        Raises:
            RelayError, ClientError, BotoCoreError: They cannot be had, or an earlier part did not go up.
        """
        if self._part is None:
            ready = self._ready.get()
            if ready is None:
                self._ready.put(None)  # it may be asked again
                return 0
            if isinstance(ready, BaseException):
                raise ready
            self._part, sent = ready
            self._position = 0
            self._sending.append(sent)
        size = self._part.read_into(buffer, self._position)
        self._position += size
        if self._position == self._part.size:
            self._let_go(self._part, self._sending[-1])
        return size

    def arrived(self) -> None:
        """Wait until every part is uploaded."""
        for sent in self._sending:
            self.crc32 = isal_zlib.crc32_combine(self.crc32, *sent.result())

    def _let_go(self, part: _Part, sent: _Sent) -> None:
        """Reuse the part once it is uploaded, too; raise now if an earlier part could not be."""
        self._part = None
        sent.add_done_callback(lambda _: self._free.put(part))
        for each in self._sending:
            if each.done():
                each.result()

    def _read_all(self) -> None:
        """Run as the reader thread: fill one free part after another."""
        try:
            number = 0
            more = True
            while more:
                part = self._free.get()
                if self._given_up:
                    return
                if part is None:
                    part = _Part()
                    self._made.append(part)
                self._fill(part)
                more = part.size == PART_BYTES
                if part.size:
                    number += 1
                    self.size += part.size
                    self._ready.put((part, self._uploaders.submit(self._send_part, number, part)))
            self._ready.put(None)
        except BaseException as error:  # noqa: BLE001  it is raised where the verifier reads
            self._ready.put(error)

    def _fill(self, part: _Part) -> None:
        """Fill a part from the source; less than all of it only at the end."""
        part.size = 0
        while left := PART_BYTES - part.size:
            piece = self._source.read(min(SLICE_BYTES, left))
            if not piece:
                break
            part.fill(piece)
            self.sha256.update(piece)

    def _send_part(self, number: int, part: _Part) -> tuple[int, int]:
        """Run in an uploader thread; return the part's CRC-32 and its size."""
        crc32 = part.crc32()
        self._send(number, part, crc32)
        return crc32, part.size


def _base64(crc32: int) -> str:
    return base64.b64encode(crc32.to_bytes(4)).decode()
