"""One stored backup, read from S3 from its first byte to its last."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError
from relay.aws_errors import error_code
from relay.errors import Corrupt

from relay_cli.deployed import calendar
from relay_cli.deployed.calendar import Status
from relay_cli.failure import FAILED, Failure
from relay_cli.text import one_line

if TYPE_CHECKING:
    from relay.backups.backup import Backup

    from relay_cli.deployed.stack import Stack

MAX_RESUMES = 5
"""How often a transfer is resumed without receiving a byte."""

_NOT_THERE = frozenset({"NoSuchKey", "404"})


class StoredBackup(io.RawIOBase):
    """The bytes of a backup; a broken transfer is resumed where it broke.

    Attributes:
        size: The number of bytes.
        sha256: The checksum in the backup's tag, in hexadecimal; None if it has no such tag.
    """

    def __init__(self, stack: Stack, backup: Backup) -> None:
        """Open the backup.

        Raises:
            Failure: It is not stored; the reason says why.
        """
        self._s3 = stack.client("s3")
        self._where = {"Bucket": stack.output("BackupBucketName"), "Key": backup.key}
        self._at = self._resumes = 0
        try:
            answer = self._s3.get_object(**self._where)
        except ClientError as error:
            if error_code(error) in _NOT_THERE:
                raise _not_stored(stack, backup) from None
            raise
        self._body, self._etag = answer["Body"], answer["ETag"]
        self.size: int = answer["ContentLength"]
        self.sha256 = self._tags().get("sha256")

    def readable(self) -> bool:
        """Return that it is readable."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  as in the parent
        """Read into the buffer; return the number of bytes, 0 at the end.

        Raises:
            Corrupt: The bytes do not match S3's checksum.
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
        self._body = self._s3.get_object(**self._where, Range=f"bytes={self._at}-", IfMatch=self._etag)["Body"]

    def _tags(self) -> dict[str, str]:
        try:
            tags = self._s3.get_object_tagging(**self._where)["TagSet"]
        except ClientError:  # reading a backup does not imply the permission to read its tags
            return {}
        return {each["Key"]: each["Value"] for each in tags}


def _not_stored(stack: Stack, backup: Backup) -> Failure:
    """Return why a backup is not stored, and what to do."""
    day = backup.day.isoformat()
    overview = calendar.read(stack, calendar.parse_period(day, day, [backup.file_type]))
    ((found,),) = (each.days for each in overview.calendars)
    fetch = f"relay backfill {day} {day} --type {backup.file_type}"
    match found.status:
        case Status.ABSENT:
            words = f"Firestream does not have it (absent). To ask again: {fetch} --retry-absent"
        case Status.FAILED:
            words = f"it failed: {one_line(found.reason)}.\nTo try again: {fetch}"
        case Status.NOT_YET:
            words = "it is not available yet. The nightly run fetches it when Firestream has it."
        case _:
            words = f"it is missing. To fetch it: {fetch}"
    return Failure(f"{backup} is not stored: {words}", FAILED)
