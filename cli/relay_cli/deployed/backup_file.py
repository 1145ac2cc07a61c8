"""One stored backup, read from S3 from its first byte to its last."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from relay.aws_errors import error_code
from relay.backups.stored_object import StoredObject
from relay.errors import StartOver

from relay_cli.deployed import calendar
from relay_cli.deployed.calendar import Status
from relay_cli.failure import FAILED, Failure
from relay_cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.backups.backup import Backup

    from relay_cli.deployed.stack import Stack

NOT_THERE = frozenset({"NoSuchKey", "404"})
"""The codes of S3 for an object that does not exist."""


class MeasuredReader(io.RawIOBase):
    """Reads an object, and measures what it reads.

    Attributes:
        bytes: How many bytes were read.
        sha256: Their checksum.
    """

    def __init__(self, stored: StoredObject, on_progress: Callable[[int], object]) -> None:
        """Read an object; `on_progress` is called with the number of bytes of each read."""
        self.bytes = 0
        self.sha256 = hashlib.sha256()
        self._stored = stored
        self._on_progress = on_progress

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  as in the parent
        """Read into the buffer; return the number of bytes, 0 at the end."""
        size = self._stored.readinto(buffer)
        with buffer[:size] as piece:
            self.sha256.update(piece)
        self.bytes += size
        self._on_progress(size)
        return size


class StoredBackup(StoredObject):
    """The bytes of a backup; a broken transfer is resumed where it broke.

    Attributes:
        sha256: The checksum in the backup's tag, in hexadecimal; None if it has no such tag.
        reason: What is wrong with it, in its tag; empty if it is a backup as it should be.
    """

    def __init__(self, stack: Stack, backup: Backup, *, damaged: bool = False) -> None:
        """Open the backup, or what is kept of one that was not whole.

        Raises:
            Failure: It is not there; the reason says why.
        """
        key = backup.damaged_key if damaged else backup.key
        try:
            super().__init__(stack.client("s3"), stack.output("BackupBucketName"), key)
        except ClientError as error:
            if error_code(error) not in NOT_THERE:
                raise
            if damaged:
                raise Failure(
                    f"No damaged file of {backup} is kept. Without --damaged, you get the stored one.", FAILED
                ) from None
            raise _not_stored(stack, backup) from None
        self._backup = backup
        tags = self._tags()
        self.sha256 = tags.get("sha256")
        self.reason = tags.get("reason", "")

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  as in the parent
        """Read into the buffer; raises `Failure` if the transfer broke and the backup was replaced meanwhile."""
        try:
            return super().readinto(buffer)
        except StartOver as error:
            raise Failure(f"{self._backup} cannot be read to its end: {error.reason}.", FAILED) from None

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
    if found.marks:
        fetch += f"\nIts bytes as received: relay get {backup.file_type} {day} --damaged"
    match found.status:
        case Status.DAMAGED:
            words = f"what Firestream sent was not whole.\nTo try again: {fetch}"
        case Status.ABSENT:
            words = f"Firestream does not have it (absent). To ask again: {fetch} --retry-absent"
        case Status.FAILED:
            words = f"it failed: {one_line(found.reason)}.\nTo try again: {fetch}"
        case Status.NOT_YET:
            words = "it is not available yet. The nightly run fetches it when Firestream has it."
        case _:
            words = f"it is missing. To fetch it: {fetch}"
    return Failure(f"{backup} is not stored: {words}", FAILED)
