"""The archive: the bucket with Firestream's backups. What is there, what never was, and storing what is missing."""

from __future__ import annotations

import json
import re
import time
from datetime import date
from os.path import commonprefix
from typing import TYPE_CHECKING, NoReturn

from relay.aws_errors import AWS_ERRORS, error_code
from relay.backups import upload
from relay.backups.backup import Backup, days
from relay.errors import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from botocore.exceptions import BotoCoreError, ClientError
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

    from relay.backups.firestream import Download
    from relay.backups.upload import Receipt


_TAG_VALUE = re.compile(r"[^A-Za-z0-9 +=._:/@-]|(?<=.{256}).")
"""What S3 refuses in a tag's value: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html."""


class Archive:
    """One bucket. What S3 does not do raises `Retry`."""

    def __init__(self, s3: Callable[[], S3Client], bucket: str, now: Callable[[], float]) -> None:
        """Use the bucket; `s3` gives the client when it is first needed, `now` the seconds since the epoch."""
        self._s3 = s3
        self._bucket = bucket
        self._now = now

    def stored(self, file_type: str, first: date, last: date) -> set[date]:
        """Return the days of a range that are there. It lists: a request for a thousand days."""
        return self._found({Backup(day, file_type).key: day for day in days(first, last)}, f"{file_type}/")

    def absent(self, file_type: str, first: date, last: date) -> set[date]:
        """Return the days of a range that Firestream was found to have no file of."""
        return self._found(
            {Backup(day, file_type).absent_key: day for day in days(first, last)}, f"absent/{file_type}/"
        )

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
        note = {"file_type": backup.file_type, "day": backup.day.isoformat(), "asked_at": _timestamp(self._now())}
        try:
            self._s3().put_object(
                Bucket=self._bucket,
                Key=backup.absent_key,
                Body=json.dumps(note).encode(),
                ContentType="application/json",
            )
        except AWS_ERRORS as error:
            _not_done("write", backup.absent_key, error)

    def store(self, backup: Backup, download: Download) -> Receipt | None:
        """Store a backup, whole or not at all; see `relay.backups.upload.store`."""
        return upload.store(download, self._s3(), self._bucket, backup.key)

    def tag(self, backup: Backup, receipt: Receipt, etag: str) -> None:
        """Tag a backup with what is known of it. Its metadata was fixed before its first byte was read."""
        tags = {
            "sha256": receipt.sha256,
            "lines": str(receipt.lines),
            "source-etag": _TAG_VALUE.sub("", etag),
            "fetched-at": _timestamp(self._now()),
        }
        try:
            self._s3().put_object_tagging(
                Bucket=self._bucket,
                Key=backup.key,
                Tagging={"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]},
            )
        except AWS_ERRORS as error:
            _not_done("tag", backup.key, error)

    def _found(self, wanted: Mapping[str, date], prefix: str) -> set[date]:
        """Return the days whose keys are in the bucket."""
        try:
            return {wanted[each["Key"]] for each in self.objects(wanted)}
        except AWS_ERRORS as error:
            _not_done("list", prefix, error)


def _day(key: str) -> date | None:
    """Return the day in ``type/yyyy/mm/dd/…``; None for what somebody else put there."""
    try:
        _, year, month, day, *_ = key.split("/")
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _timestamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _not_done(verb: str, what: str, error: ClientError | BotoCoreError) -> NoReturn:
    code = error_code(error)
    raise Retry(f"S3 did not {verb} {what} ({code})") from None
