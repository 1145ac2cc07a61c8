"""`relay` over an archive that the real function fills.

An emulator is AWS, except for Lambda: `relay backfill` invokes the function over HTTP, and its workers run between two
polls.
"""

import gzip
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import relay_cli
from relay.backups import bootstrap
from relay.backups.backup import Backup
from relay.backups.events import Request
from relay_cli.app import main
from relay_cli.commands import backfill
from relay_cli.deployed import calendar

from functions.fetch_backups import app as fetch_backups
from local.stand_ins.http_server import Handler
from tests.worlds.backups import ARCHIVE, BackupsWorld
from tests.worlds.cli import CommandResult
from tests.worlds.clock import Context

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
TODAY = date(2026, 11, 21)
DAY = date(2016, 12, 5)
BACKUP = Backup(DAY, "message")
A_WEEK = ("2016-12-05", "2016-12-11")
DONE, FAILED, USAGE, NO_AWS, NO_STACK, INTERRUPTED = 0, 1, 2, 3, 4, 130
CLI = Path(relay_cli.__file__).parents[1]
FUNCTION = "stocktwits-relay-fetch-backups"


class Services(Handler):
    """CloudFormation, which knows one stack, and Lambda, which invokes the real function."""

    def serve(self) -> None:
        body, operator = self.read_body(), self.server.stand_in
        if self.path == "/":
            self.answer(200, described(operator.outputs, operator.parameters), {"Content-Type": "text/xml"})
            return
        event = json.loads(body)
        operator.events.append((self.path, event))
        status, headers, answer = operator.invoke(event)
        self.answer(status, json.dumps(answer).encode(), headers)


def described(outputs: dict[str, str], parameters: dict[str, str]) -> bytes:
    """CloudFormation's answer to DescribeStacks."""

    def members(kind: str, values: dict[str, str]) -> str:
        return "".join(
            f"<member><{kind}Key>{name}</{kind}Key><{kind}Value>{value}</{kind}Value></member>"
            for name, value in values.items()
        )

    return (
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>stocktwits-relay</StackName>"
        f"<StackStatus>UPDATE_COMPLETE</StackStatus><Outputs>{members('Output', outputs)}</Outputs>"
        f"<Parameters>{members('Parameter', parameters)}</Parameters>"
        "</member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    ).encode()


class ArchiveCli:
    """An operator with a deployed stack, and workers that fulfil requests while the command waits."""

    def __init__(
        self,
        backups: BackupsWorld,
        session: boto3.Session,
        patch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        folder: Path,
    ) -> None:
        self.backups = backups
        self.patch = patch
        self.folder = folder
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.polls = 0
        self.works = True
        self.interrupts = False
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        self.everything = ""
        self.outputs = {
            "OutboxQueueUrl": "the Outbox",
            "BackupBucketName": ARCHIVE,
            "BackupRequestsQueueUrl": backups.requests,
            "BackupFailuresQueueUrl": backups.failures,
            "FetchBackupsFunctionName": FUNCTION,
        }
        self.parameters = {"BackupFileTypes": "message", "BackupLagDays": "2"}
        self._session = session
        self._capsys = capsys
        patch.chdir(folder)
        patch.setenv("COLUMNS", "80")
        patch.setattr(calendar, "today", lambda: TODAY)
        patch.setattr(backfill, "time", SimpleNamespace(sleep=self._wait, monotonic=backups.clock))

    def __call__(self, *words: str) -> CommandResult:
        """Run `relay` with these words."""
        self._capsys.readouterr()
        self.patch.setattr(sys, "argv", ["relay", *words])
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        result = CommandResult(code, *self._capsys.readouterr())
        self.everything += result.out + result.err
        return result

    def store(self, *backups: Backup) -> None:
        """Let the function fetch backups."""
        with self.aside():
            self.backups.fulfil(*backups)

    def add_failure(self, backup: Backup | str, reason: str) -> None:
        self.backups.sqs.send_message(
            QueueUrl=self.backups.failures,
            MessageBody=backup if isinstance(backup, str) else Request(backup).body,
            MessageAttributes={"RejectReason": {"DataType": "String", "StringValue": reason}},
        )

    def invoke(self, event: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        """Do what Lambda does with an invocation."""
        if self.answers:
            return self.answers.pop(0)
        with self.aside():
            for handler in bootstrap.telemetry().logger.handlers:
                handler.stream = sys.stdout
            return 200, {}, fetch_backups.handler(event, Context(self.backups.clock, 900_000))

    @contextmanager
    def pages_of(self, keys: int) -> Iterator[None]:
        """Let S3 list so many keys at a time."""

        def limit(params: dict[str, Any], **_: object) -> None:
            params["MaxKeys"] = keys

        self._session.events.register("before-parameter-build.s3.ListObjectsV2", limit)
        yield
        self._session.events.unregister("before-parameter-build.s3.ListObjectsV2", limit)

    @contextmanager
    def ascii_only(self) -> Iterator[Callable[[], str]]:
        """Give the command a standard output that holds nothing else."""
        with redirect_stdout(io.TextIOWrapper(io.BytesIO(), "ascii")) as output:
            yield lambda: output.buffer.getvalue().decode("ascii")

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Keep apart what the functions write: it is not what the command writes."""
        written = io.StringIO()

        def taken() -> tuple[str, str]:
            text = written.getvalue()
            written.seek(0)
            written.truncate()
            return text, ""

        with redirect_stdout(written), pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.backups, "_capsys", SimpleNamespace(readouterr=taken))
            yield

    def _wait(self, seconds: float) -> None:
        self.polls += 1
        self.backups.clock.forward(seconds)
        if self.interrupts:
            raise KeyboardInterrupt
        if self.works:
            with self.aside():
                self.backups.work(most=2)


def put(relay: ArchiveCli, backup: Backup, content: bytes) -> None:
    relay.backups.s3.put_object(Bucket=ARCHIVE, Key=backup.key, Body=content)


def age(relay: ArchiveCli, *backups: Backup) -> None:
    """Let backups have been stored an hour ago: a listing tells times apart by whole seconds."""
    for backup in backups:
        relay.backups.aws.emulator.age(ARCHIVE, backup.key, 3600)


def note_absent(relay: ArchiveCli, backup: Backup) -> None:
    relay.backups.s3.put_object(Bucket=ARCHIVE, Key=backup.absent_key, Body=b"{}")


def lines_of(*objects: object) -> bytes:
    return gzip.compress(b"".join(json.dumps(each).encode() + b"\n" for each in objects), mtime=0)


def values(text: str | bytes) -> list[Any]:
    """The values of JSON lines, whatever characters they are written in."""
    return [json.loads(line) for line in text.splitlines()]
