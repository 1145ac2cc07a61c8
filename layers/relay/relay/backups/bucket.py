"""The archive: the bucket with Firestream's backups. What is there, what never was, and storing what is missing.

Beside the backups there are three kinds of objects: notes of absence (``absent/``), remarks about stored backups
(``remarks/``), and what Firestream sent that was never whole (``damaged/``). All of them are found by listing, a
thousand days a request.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import date, datetime
from os.path import commonprefix
from typing import TYPE_CHECKING, NoReturn, TypeVar

from relay.aws_errors import AWS_ERRORS, error_code
from relay.backups import upload
from relay.backups.backup import Backup, Remark, days
from relay.backups.gunzip import drain
from relay.backups.identity import tag_value
from relay.backups.verifier import Content, verify
from relay.errors import Corrupt, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from botocore.exceptions import BotoCoreError, ClientError
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

    from relay.backups.firestream import Download
    from relay.backups.gunzip import Readable
    from relay.backups.identity import Identity
    from relay.backups.upload import Receipt

_Wanted = TypeVar("_Wanted")


class _Whole(Exception):
    """A file that was to be kept as damaged is not."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is there, as a listing shows it.

    Attributes:
        etag: S3's, with quotes: it changes with the object's bytes.
        bytes: Its size.
        modified: When it was written.
    """

    etag: str
    bytes: int
    modified: datetime


class Archive:
    """One bucket. What S3 does not do raises `Retry`."""

    def __init__(self, s3: Callable[[], S3Client], bucket: str, now: Callable[[], float]) -> None:
        """Use the bucket; `s3` gives the client when it is first needed, `now` the seconds since the epoch."""
        self._s3 = s3
        self._bucket = bucket
        self._now = now

    def stored(self, file_type: str, first: date, last: date) -> dict[date, Stored]:
        """Return the days of a range that are there, oldest first."""
        return self._found({Backup(day, file_type).key: day for day in days(first, last)}, f"{file_type}/")

    def absent(self, file_type: str, first: date, last: date) -> dict[date, Stored]:
        """Return the days of a range that Firestream was found to have no file of."""
        return self._found(
            {Backup(day, file_type).absent_key: day for day in days(first, last)}, f"absent/{file_type}/"
        )

    def remarks(self, file_type: str, stored: Mapping[date, Stored]) -> dict[date, set[Remark]]:
        """Return the remarks about stored versions; days without any are left out."""
        keys = {
            Backup(day, file_type).remark_key(each.etag, remark): (day, remark)
            for day, each in stored.items()
            for remark in Remark
        }
        found: dict[date, set[Remark]] = {}
        for day, remark in self._found(keys, f"remarks/{file_type}/"):
            found.setdefault(day, set()).add(remark)
        return found

    def objects(self, keys: Collection[str]) -> Iterator[ObjectTypeDef]:
        """Yield S3's entries of those keys that are in the bucket, a thousand of them per request.

        The keys are those of one file type, so they sort by day. Objects with other keys are skipped.

        Raises:
            ClientError, BotoCoreError: S3 did not list them.
        """
        if not keys:
            return
        first, last = min(keys), max(keys)
        prefix = commonprefix([first, last])  # noqa: RUF071  to S3, keys are plain characters
        pages = (
            self._s3()
            .get_paginator("list_objects_v2")
            .paginate(Bucket=self._bucket, Prefix=prefix, StartAfter=first[:-1])
        )
        for page in pages:
            for each in page.get("Contents", []):
                if each["Key"] > last:
                    return
                if each["Key"] in keys:
                    yield each

    def find(self, wanted: Mapping[str, _Wanted]) -> dict[_Wanted, Stored]:
        """Return what is in the bucket of wanted keys, each with what it stands for; otherwise as `objects`."""
        return {
            wanted[each["Key"]]: Stored(each["ETag"], each["Size"], each["LastModified"])
            for each in self.objects(wanted)
        }

    def newest(self, file_type: str) -> date | None:
        """Return the newest day that is there: its year, its month and itself are the last folder each."""
        prefix = f"{file_type}/"
        for _ in ("year", "month", "day"):
            try:
                pages = (
                    self._s3()
                    .get_paginator("list_objects_v2")
                    .paginate(Bucket=self._bucket, Prefix=prefix, Delimiter="/")
                )
                folders = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
                folders = [each for each in folders if each.split("/")[-2].isdecimal()]  # not somebody else's
            except AWS_ERRORS as error:
                _not_done("list", prefix, error)
            if not folders:
                return None
            prefix = max(folders)
        return _day(prefix)

    def mark_absent(self, backup: Backup) -> None:
        """Note that Firestream has no such file, so that it is not asked every night."""
        self._write(backup.absent_key, {**backup.fields, "asked_at": timestamp(self._now())})

    def remark(self, backup: Backup, etag: str, remark: Remark, details: Mapping[str, object]) -> None:
        """Make a remark about the version with this ETag; it takes the place of an earlier one of its kind."""
        note = {**backup.fields, "kind": str(remark), **details, "at": timestamp(self._now())}
        self._write(backup.remark_key(etag, remark), note)

    def store(
        self,
        backup: Backup,
        download: Download,
        *,
        replaces: Stored | None = None,
        unless_sha256: str | None = None,
    ) -> Receipt | None:
        """Store a backup, whole or not at all, in place of a version or of none; see `relay.backups.upload.store`."""
        terms = upload.Terms({"IfMatch": replaces.etag}, unless_sha256=unless_sha256) if replaces else upload.NEW
        return upload.store(download, self._s3(), self._bucket, backup.key, terms)

    def keep_damaged(self, backup: Backup, download: Download) -> str:
        """Keep what Firestream sends for a backup as it is, apart from the backups.

        Returns:
            What is wrong with it, as in its tag ``reason``; nothing when it is whole this time, and therefore not kept.

        Raises:
            Retry: S3 did not take it.
        """
        reason = ""

        def inspect(file: Readable) -> Content:
            nonlocal reason
            try:
                verify(file)
            except Corrupt as error:
                reason = error.reason
            else:
                raise _Whole
            drain(file)
            return Content(0, 0)

        try:
            receipt = upload.store(download, self._s3(), self._bucket, backup.damaged_key, upload.Terms({}, inspect))
        except _Whole:
            return ""
        if receipt:
            tags = {"reason": reason, "sha256": receipt.sha256, **download.identity.tags}
            self._tag(backup.damaged_key, tags)
        return reason

    def tag(self, backup: Backup, receipt: Receipt, identity: Identity) -> None:
        """Tag a backup with what is known of it. Its metadata was fixed before its first byte was read."""
        content = receipt.content
        tags = {"sha256": receipt.sha256, "lines": str(content.lines), **identity.tags}
        if content.odd:
            tags |= {"odd-lines": str(content.odd), "first-odd-line": str(content.first_odd)}
        self._tag(backup.key, tags)

    def tags(self, backup: Backup) -> dict[str, str]:
        """Return the tags of a stored backup."""
        try:
            answer = self._s3().get_object_tagging(Bucket=self._bucket, Key=backup.key)
        except AWS_ERRORS as error:
            _not_done("read the tags of", backup.key, error)
        return {each["Key"]: each["Value"] for each in answer["TagSet"]}

    def _tag(self, key: str, tags: Mapping[str, str]) -> None:
        found = {name: tag_value(value) for name, value in tags.items()} | {"fetched-at": timestamp(self._now())}
        try:
            self._s3().put_object_tagging(
                Bucket=self._bucket,
                Key=key,
                Tagging={"TagSet": [{"Key": name, "Value": value} for name, value in found.items()]},
            )
        except AWS_ERRORS as error:
            _not_done("tag", key, error)

    def _write(self, key: str, note: Mapping[str, object]) -> None:
        try:
            self._s3().put_object(
                Bucket=self._bucket, Key=key, Body=json.dumps(note).encode(), ContentType="application/json"
            )
        except AWS_ERRORS as error:
            _not_done("write", key, error)

    def _found(self, wanted: Mapping[str, _Wanted], prefix: str) -> dict[_Wanted, Stored]:
        try:
            return self.find(wanted)
        except AWS_ERRORS as error:
            _not_done("list", prefix, error)


def _day(key: str) -> date | None:
    """Return the day in ``type/yyyy/mm/dd/…``; None for what somebody else put there."""
    try:
        _, year, month, day, *_ = key.split("/")
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def timestamp(seconds: float) -> str:
    """Return a moment in ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _not_done(verb: str, what: str, error: ClientError | BotoCoreError) -> NoReturn:
    code = error_code(error)
    raise Retry(f"S3 did not {verb} {what} ({code})") from None
