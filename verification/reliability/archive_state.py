"""Read what a run of backups left: versions, tags, remarks, notes, damaged files, uploads and failures."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from relay.backups.backup import Backup, Remark
from relay.backups.events import read_request

from verification.reliability.archive_checker import Stored, digest
from verification.reliability.visibility import depth

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from local.stack.stack import Stack

DELETED = "deleted"
"""Stands for the checksum of a version that says that the object was deleted."""


class ArchiveState:
    """The archive and the queues of a deployed stack, as far as they concern some files."""

    def __init__(self, stack: Stack, files: Iterable[Backup]) -> None:
        """Look at these files only."""
        self._stack = stack
        self._s3 = stack.client("s3")
        self._bucket = stack.outputs["BackupBucketName"]
        self._files = {each.key: each for each in files}
        self._notes = {each.absent_key: each.key for each in self._files.values()}
        self._damaged = {each.damaged_key: each.key for each in self._files.values()}

    def stored(self) -> dict[str, Stored]:
        """Return every object with its versions, tags and remarks."""
        versions = self._versions()
        remarks = {key for key in versions if key.startswith("remarks/")}
        return {key: self._stored(key, versions[key], remarks) for key in self._files.keys() & versions.keys()}

    def notes(self) -> set[str]:
        """Return the keys of files that are noted as absent, and are not there."""
        there = self._keys()
        return {key for note, key in self._notes.items() if note in there and key not in there}

    def damaged(self) -> dict[str, str]:
        """Return the checksum of each file that is kept as damaged."""
        return {self._damaged[key]: digest(self._read(key)) for key in self._damaged.keys() & self._keys()}

    def uploads(self) -> list[tuple[str, float]]:
        """Return the unfinished uploads, with their starts; abort them, as the bucket's lifecycle rule would.

        The emulator does not have that rule.
        """
        answer = self._s3.list_multipart_uploads(Bucket=self._bucket).get("Uploads", [])
        ours = [each for each in answer if each["Key"] in self._files or each["Key"] in self._damaged]
        for each in ours:
            self._s3.abort_multipart_upload(Bucket=self._bucket, Key=each["Key"], UploadId=each["UploadId"])
        return [(each["Key"], each["Initiated"].timestamp()) for each in ours]

    def waiting(self) -> dict[str, int]:
        """Return how many requests are left."""
        return {"BackupRequestsQueue": depth(self._stack, "BackupRequestsQueue")}

    def failures(self, today: date) -> dict[str, list[str]]:
        """Return the reasons in BackupFailures, which are left there; empty for a request that SQS moved."""
        sqs, url = self._stack.client("sqs"), self._stack.outputs["BackupFailuresQueueUrl"]
        reasons: defaultdict[str, list[str]] = defaultdict(list)
        received: list[dict[str, Any]] = []
        while batch := sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=30, MessageAttributeNames=["All"]
        ).get("Messages"):
            received += batch
        for each in received:
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"], VisibilityTimeout=0)
            key = read_request(each["Body"], today).backup.key
            if key in self._files:
                reason = each.get("MessageAttributes", {}).get("RejectReason", {}).get("StringValue", "")
                reasons[key].append(reason)
        return dict(reasons)

    def _versions(self) -> dict[str, list[dict[str, Any]]]:
        """Return the versions of each key, oldest first, with marks of deletion."""
        found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket):
            for each in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
                found[each["Key"]].append(each)
        return {key: sorted(each, key=lambda version: version["LastModified"]) for key, each in found.items()}

    def _stored(self, key: str, versions: Sequence[dict[str, Any]], remarks: set[str]) -> Stored:
        digests = [self._digest(each) for each in versions]
        same = next(number for number in range(len(digests)) if len(set(digests[number:])) == 1)
        current, backup = versions[-1], self._files[key]
        if digests[-1] == DELETED:
            return Stored(digests)
        tags = self._s3.get_object_tagging(Bucket=self._bucket, Key=key)["TagSet"]
        return Stored(
            digests,
            versions[same]["LastModified"].timestamp(),
            {each["Key"]: each["Value"] for each in tags},
            {str(remark) for remark in Remark if backup.remark_key(current["ETag"], remark) in remarks},
        )

    def _digest(self, version: dict[str, Any]) -> str:
        return digest(self._read(version["Key"], VersionId=version["VersionId"])) if "ETag" in version else DELETED

    def _read(self, key: str, **version: str) -> bytes:
        content: bytes = self._s3.get_object(Bucket=self._bucket, Key=key, **version)["Body"].read()
        return content

    def _keys(self) -> set[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket)
        return {each["Key"] for page in pages for each in page.get("Contents", [])}


def invoke(stack: Stack, event: dict[str, str]) -> dict[str, Any] | None:
    """Invoke the function that fetches backups; None if its worker was killed meanwhile."""
    answer = stack.client("lambda").invoke(
        FunctionName=stack.outputs["FetchBackupsFunctionName"], Payload=json.dumps(event)
    )
    result: dict[str, Any] = json.loads(answer["Payload"].read())
    return None if "FunctionError" in answer else result
