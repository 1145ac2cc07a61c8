"""One stored backup, read from S3 from its first byte to its last."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError
from relay.errors import Corrupt

from relay_cli.deployed import calendar
from relay_cli.deployed.calendar import Status
from relay_cli.failure import UNDONE, Failure

if TYPE_CHECKING:
    from relay.backups.backup import Backup

    from relay_cli.deployed.stack import Stack

MAX_RESUMES = 5
"""How often a transfer is taken up again without getting on."""

_NOT_THERE = frozenset({"NoSuchKey", "404"})


class Stored(io.RawIOBase):
    """The bytes of a backup; a transfer that breaks is taken up where it broke.

    Attributes:
        size: How many there are.
        sha256: What the function computed of them, in hexadecimal; None when it could not write that down.
    """

    def __init__(self, stack: Stack, backup: Backup) -> None:
        """Begin to read.

        Raises:
            Failure: It is not stored; the reason says why.
        """
        self._s3 = stack.client("s3")
        self._where = {"Bucket": stack.output("BackupBucketName"), "Key": backup.key}
        self._at = self._resumes = 0
        try:
            answer = self._s3.get_object(**self._where)
        except ClientError as error:
            if error.response["Error"]["Code"] in _NOT_THERE:
                raise _why_not(stack, backup) from None
            raise
        self._body, self._etag = answer["Body"], answer["ETag"]
        self.size: int = answer["ContentLength"]
        self.sha256 = self._tags().get("sha256")

    def readable(self) -> bool:
        """Say that it is."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  as in the parent
        """Fill the buffer from its start; return how many bytes there were, 0 at the end.

        Raises:
            Corrupt: S3's checksum says that these are not the bytes that were stored.
            ClientError, BotoCoreError: S3 gives no more.
        """
        while True:
            try:
                size: int = self._body.readinto(buffer)
            except FlexibleChecksumError:
                raise Corrupt("its bytes do not have the checksum that S3 has of them") from None
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
        """Let the connection go."""
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
        except ClientError:  # whoever may read a backup may not be allowed to read its tags
            return {}
        return {each["Key"]: each["Value"] for each in tags}


def _why_not(stack: Stack, backup: Backup) -> Failure:
    """Say why a backup is not there, and what to do."""
    day = backup.day.isoformat()
    ((found,),) = (each.days for each in calendar.read(stack, calendar.order(day, day, [backup.file_type])).calendars)
    fetch = f"relay backfill {day} {day} --type {backup.file_type}"
    match found.status:
        case Status.ABSENT:
            words = f"Firestream has none (absent). To ask again: {fetch} --retry-absent"
        case Status.FAILED:
            words = f"it failed: {found.reason}.\nTo try again: {fetch}"
        case Status.NOT_YET:
            words = "it is not there yet. The nightly run fetches it when Firestream has it."
        case _:
            words = f"it is missing. To fetch it: {fetch}"
    return Failure(f"{backup} is not stored: {words}", UNDONE)
