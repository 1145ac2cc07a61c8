"""gzip, decoded into the caller's buffer: making a new object of every block takes half as long again. Pure."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, Protocol, cast

from isal import isal_zlib

from relay.errors import Corrupt

READ_BYTES = 512 * 1024
"""How much is read of the file at a time; more was not faster."""


# A CRC, a header; a header that is longer than what is read at a time; the data itself.
_DAMAGED = (OSError, OverflowError, cast("type[Exception]", isal_zlib.error))


class Readable(Protocol):
    """What can be read into a buffer."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill the buffer from its start; return how many bytes there were, 0 at the end."""


def drain(file: Readable) -> None:
    """Read a file to its end; what it raises is passed on."""
    buffer = memoryview(bytearray(READ_BYTES))
    while file.readinto(buffer):
        pass


class Gunzip:
    """Reads gzip data of any number of members, each checked by its CRC and length, to the end of the file."""

    def __init__(self, file: Readable) -> None:
        """Read from a file; what it raises is passed on."""
        self._file = _File(file)
        self._decoder = isal_zlib._GzipReader(cast("BinaryIO", self._file), READ_BYTES)  # noqa: SLF001  its public wrappers copy each block

    def readinto(self, buffer: memoryview) -> int:
        """Decode into the buffer, from its start; return how many bytes there were, 0 at the end.

        Raises:
            Corrupt: The data is damaged, ends early, or is followed by something else.
        """
        try:
            return self._decode(buffer)
        except BaseException:
            # The collector cannot see that the decoder refers to the file; the error's traceback would keep both.
            del self._decoder
            raise

    def _decode(self, buffer: memoryview) -> int:
        try:
            size: int = self._decoder.readinto(buffer)
        except EOFError:
            self._file.check()
            raise Corrupt(f"the gzip data ends early, after {self._file.bytes} bytes") from None
        except _DAMAGED as error:
            raise Corrupt(f"the gzip data is damaged within the first {self._file.bytes} bytes: {error}") from None
        if not size:
            self._file.check()
            if not self._file.bytes:
                raise Corrupt("the file is empty, and so not a gzip file")
        return size


class _File(io.RawIOBase):
    """Keeps what the decoder would lose: an error of the file, which is the file's end to it, and how much was read."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self._error: BaseException | None = None
        self.bytes = 0

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  as in the parent
        try:
            # The decoder's view is of memory that it frees by itself. Whoever keeps this one gets an error for it.
            with memoryview(buffer) as view:
                size = self._file.readinto(view) or 0
        except BaseException as error:  # noqa: BLE001  raised by `check`
            self._error = error
            return 0
        self.bytes += size
        return size

    def check(self) -> None:
        """Raise what the file raised."""
        if self._error:
            raise self._error
