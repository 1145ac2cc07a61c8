"""One object of S3 as a file; a transfer that breaks goes on where it broke."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError

from relay.aws_errors import error_code
from relay.errors import Corrupt, StartOver

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_RESUMES = 5
"""How often a transfer is resumed without receiving a byte."""

_REPLACED = frozenset({"PreconditionFailed", "412"})


class StoredObject(io.RawIOBase):
    """The bytes of an object, from the first to the last.

    Attributes:
        size: The number of bytes.
    """

    def __init__(self, s3: S3Client, bucket: str, key: str) -> None:
        """Open the object.

        Raises:
            ClientError, BotoCoreError: It does not exist, or cannot be read.
        """
        self._s3 = s3
        self._where: Any = {"Bucket": bucket, "Key": key}
        self._at = self._resumes = 0
        answer = s3.get_object(**self._where)
        self._body, self._etag = answer["Body"], answer["ETag"]
        self.size: int = answer["ContentLength"]

    def readable(self) -> bool:
        """Return that it is readable."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  as in the parent
        """Read into the buffer; return the number of bytes, 0 at the end.

        Raises:
            Corrupt: The bytes do not match S3's checksum.
            StartOver: The transfer broke, and the object was replaced meanwhile.
            ClientError, BotoCoreError: The transfer failed.
        """
        while True:
            try:
                size: int = self._body.readinto(buffer)
            except FlexibleChecksumError:
                raise Corrupt("its bytes do not match S3's checksum") from None
            except BotoCoreError:
                if self._resumes == MAX_RESUMES:
                    raise
                self._resume()
                continue
            self._at += size
            if size:
                self._resumes = 0
            return size

    def close(self) -> None:
        """Close the connection."""
        super().close()
        if hasattr(self, "_body"):
            self._body.close()

    def _resume(self) -> None:
        self._resumes += 1
        self._body.close()
        try:
            answer = self._s3.get_object(**self._where, Range=f"bytes={self._at}-", IfMatch=self._etag)
        except ClientError as error:
            if error_code(error) in _REPLACED:
                raise StartOver("it was replaced by another version while it was read; read it again") from None
            raise
        self._body = answer["Body"]
