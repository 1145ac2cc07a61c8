"""Everything around the function that fetches backups: archive, queues, login, and a stand-in for Firestream."""

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from relay.backups import bootstrap
from relay.backups.backup import Backup
from relay.backups.events import Request
from relay.errors import RelayError

from functions.fetch_backups import app as fetch_backups
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.worlds.aws import Aws, attribute_values, sqs_record
from tests.worlds.clock import Clock, Context
from tests.worlds.runs import BackupRun, write_to_stdout

ARCHIVE, LOGIN_PARAMETER, PASSWORD = "stocktwits-relay-archive", "/stocktwits-relay/firestream", "a-secret: pässword"
REQUESTS_QUEUE = "stocktwits-relay-backup-requests"


class BackupsWorld:
    """`fetch_backups`, and everything that it uses.

    Attributes:
        strict: Records and answers the requests to S3.
        requests: The URL of the queue of requests.
        failures: The URL of the queue of the requests that failed.
    """

    def __init__(
        self,
        aws: Aws,
        firestream: FirestreamStandIn,
        clock: Clock,
        patch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.aws = aws
        self.firestream = firestream
        self.clock = clock
        self.patch = patch
        self._capsys = capsys
        self._output = ""
        self.sqs, self.ssm, self.s3 = aws.sqs, aws.ssm, aws.s3
        self.strict = aws.emulator.watch_s3(patch)
        self.s3.create_bucket(Bucket=ARCHIVE)
        self.requests, self.failures = (
            self.sqs.create_queue(
                QueueName=name, Attributes={"VisibilityTimeout": "5400", "MessageRetentionPeriod": "1209600"}
            )["QueueUrl"]
            for name in (REQUESTS_QUEUE, "stocktwits-relay-backup-failures")
        )
        self.store_login()
        patch.setattr("relay.backups.bootstrap.time", clock.module)
        patch.setattr("relay.backups.firestream.READ_SECONDS", 0.5)  # the one wait that is not on the test's clock
        self.settings(
            STACK_NAME="stocktwits-relay",
            BACKUP_REQUESTS_QUEUE_URL=self.requests,
            BACKUP_FAILURES_QUEUE_URL=self.failures,
            BACKUP_BUCKET_NAME=ARCHIVE,
            FIRESTREAM_URL=firestream.url,
            FIRESTREAM_CREDENTIALS_PARAMETER=LOGIN_PARAMETER,
            BACKUP_FILE_TYPES="activity,message",
            BACKUP_LAG_DAYS=2,
            BACKUP_LOOKBACK_DAYS=7,
        )

    def settings(self, **settings: object) -> None:
        """Set environment variables of the function; the next invocation starts cold."""
        for name, value in settings.items():
            self.patch.setenv(name, str(value))
        self.restart()

    def restart(self) -> None:
        """Let the next invocation start cold."""
        bootstrap.container.cache_clear()

    def store_login(self, password: str = PASSWORD) -> None:
        login = json.dumps({"username": self.firestream.username, "password": password})
        self.ssm.put_parameter(Name=LOGIN_PARAMETER, Type="SecureString", Value=login, Overwrite=True)

    # Invocations

    def invoke(self, event: Any, remaining_ms: float = 900_000) -> BackupRun:
        """Invoke the handler with this event."""
        write_to_stdout(bootstrap.telemetry())
        with suppress(RelayError):
            bootstrap.container().firestream.first_wait_seconds = 0.0
        answer = fetch_backups.handler(event, Context(self.clock, remaining_ms))
        return BackupRun(answer, self.written())

    def nightly(self, remaining_ms: float = 900_000) -> BackupRun:
        return self.invoke({"run": "nightly"}, remaining_ms)

    def fulfil(
        self, *bodies: str | Backup, receive_count: int = 1, age: float = 0, remaining_ms: float = 900_000
    ) -> BackupRun:
        """Invoke with a record for each body, first received `age` seconds ago; the n-th message id is `record n`."""
        return self.invoke(self.event(*bodies, receive_count=receive_count, age=age), remaining_ms)

    def event(self, *bodies: str | Backup, receive_count: int = 1, age: float = 0) -> dict[str, Any]:
        return {
            "Records": [
                sqs_record(
                    {
                        "MessageId": f"record {number}",
                        "ReceiptHandle": base64.b64encode(f"receipt {number}".encode()).decode(),
                        "Body": body if isinstance(body, str) else Request(body).body,
                        "MD5OfBody": "",
                        "Attributes": {
                            "ApproximateReceiveCount": str(receive_count),
                            "SentTimestamp": str(round(self.clock() * 1000)),
                            "ApproximateFirstReceiveTimestamp": str(round((self.clock() - age) * 1000)),
                        },
                    },
                    REQUESTS_QUEUE,
                )
                for number, body in enumerate(bodies, 1)
            ]
        }

    def work(self, most: int = 10) -> BackupRun | None:
        """Receive requests, invoke, and delete what is not reported as failed; returns None if there were none."""
        received = self.sqs.receive_message(
            QueueUrl=self.requests, MaxNumberOfMessages=most, MessageSystemAttributeNames=["All"]
        ).get("Messages")
        if not received:
            return None
        run = self.invoke({"Records": [sqs_record(each, REQUESTS_QUEUE) for each in received]})
        failed = {each["itemIdentifier"] for each in run.answer["batchItemFailures"]}
        for each in received:
            if each["MessageId"] not in failed:
                self.sqs.delete_message(QueueUrl=self.requests, ReceiptHandle=each["ReceiptHandle"])
        return run

    def work_once(self) -> BackupRun:
        """The same, if there must be requests."""
        run = self.work()
        assert run
        return run

    # The results

    def listing(self) -> list[str]:
        """The keys in the archive."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=ARCHIVE)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def content(self, backup: Backup) -> bytes | None:
        """The stored bytes of a backup; None if there are none."""
        if backup.key not in self.listing():
            return None
        content: bytes = self.s3.get_object(Bucket=ARCHIVE, Key=backup.key)["Body"].read()
        return content

    def source(self, backup: Backup) -> bytes:
        """The bytes of a backup at Firestream."""
        return self.firestream.content(backup.file_type, backup.day)

    def tags(self, backup: Backup) -> dict[str, str]:
        found = self.s3.get_object_tagging(Bucket=ARCHIVE, Key=backup.key)["TagSet"]
        return {each["Key"]: each["Value"] for each in found}

    def waiting(self) -> list[str]:
        """The bodies of the requests in the queue; they become invisible."""
        found = []
        while batch := self.sqs.receive_message(QueueUrl=self.requests, MaxNumberOfMessages=10).get("Messages"):
            found += [each["Body"] for each in batch]
        return found

    def held_back(self) -> list[str]:
        """The bodies of the requests that SQS delays; they cannot be received yet."""
        return self.aws.emulator.delayed(self.requests)

    def dead_letters(self) -> list[tuple[str, dict[str, str]]]:
        """The first ten requests in the queue of failures as (body, attributes); they stay in the queue."""
        found = self.sqs.receive_message(
            QueueUrl=self.failures, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["All"]
        ).get("Messages", [])
        return [(each["Body"], attribute_values(each.get("MessageAttributes", {}))) for each in found]

    def link_requests(self) -> list[str]:
        """The paths of the requests to Firestream for links, oldest first."""
        return [seen.path for seen in self.firestream.requests if seen.host == "api"]

    def written(self) -> str:
        """What was written since the last call."""
        output, errors = self._capsys.readouterr()
        self._output += output + errors
        assert errors == ""
        return output

    def assert_no_upload_is_open(self) -> None:
        assert "Uploads" not in self.s3.list_multipart_uploads(Bucket=ARCHIVE)

    def assert_no_secret_was_written(self, *texts: str) -> None:
        """Look for secrets in all that was written, and in these texts."""
        with suppress(AssertionError):
            self.written()
        basic = base64.b64encode(f"{self.firestream.username}:{PASSWORD}".encode()).decode()
        signatures = [seen.query["X-Amz-Signature"] for seen in self.firestream.requests if seen.host == "link"]
        for text in (self._output, *texts):
            for secret in (PASSWORD, json.dumps(PASSWORD)[1:-1], basic, "X-Amz-", *signatures):
                assert secret not in text
