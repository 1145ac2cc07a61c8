"""Backups with a kill at any moment, and by two workers at a time: the archive has all bytes, or nothing."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from local.stack.emulator import Emulator
from local.stand_ins.firestream.server import FirestreamStandIn

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
BUCKET = "the-archive"
DAY = date(2016, 12, 5)
KEY = "message/2016/12/05/stocktwits_message_2016_12_05.gz"
WORKER = """
import json, sys
from types import SimpleNamespace
from functions.fetch_backups.app import handler
context = SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 900_000)
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps(handler(json.loads(sys.argv[1]), context)))
"""
EVENT = {
    "Records": [
        {
            "messageId": "1",
            "receiptHandle": "none",
            "body": json.dumps({"file_type": "message", "day": DAY.isoformat()}),
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "0"},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
        }
    ]
}


@dataclass(frozen=True)
class Site:
    """An S3 and a Firestream, and worker processes that can be killed."""

    emulator: Emulator
    firestream: FirestreamStandIn

    def worker(self) -> "subprocess.Popen[str]":
        """Start a worker that waits for its start signal."""
        sqs = self.emulator.client("sqs")
        environment = {
            **os.environ,
            **self.emulator.environment,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "layers" / "relay")]),
            "BACKUP_REQUESTS_QUEUE_URL": sqs.get_queue_url(QueueName="requests")["QueueUrl"],
            "BACKUP_FAILURES_QUEUE_URL": sqs.get_queue_url(QueueName="failures")["QueueUrl"],
            "BACKUP_BUCKET_NAME": BUCKET,
            "FIRESTREAM_URL": self.firestream.url,
            "FIRESTREAM_CREDENTIALS_PARAMETER": "/login",
            "BACKUP_FILE_TYPES": "activity,message",
            "BACKUP_LAG_DAYS": "2",
            "BACKUP_LOOKBACK_DAYS": "7",
        }
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, json.dumps(EVENT)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        return worker

    def stored(self) -> bytes | None:
        """Return the archive's object for the day."""
        s3 = self.emulator.client("s3")
        with suppress(s3.exceptions.NoSuchKey):
            return bytes(s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read())
        return None

    def uploads(self) -> int:
        """Return the number of uploads that are neither completed nor aborted."""
        return len(self.emulator.client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))

    def forget(self) -> None:
        """Empty the archive, and abort unfinished uploads."""
        s3 = self.emulator.client("s3")
        s3.delete_object(Bucket=BUCKET, Key=KEY)
        for each in s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
            s3.abort_multipart_upload(Bucket=BUCKET, Key=each["Key"], UploadId=each["UploadId"])


def go(worker: "subprocess.Popen[str]") -> None:
    assert worker.stdin is not None
    worker.stdin.write("\n")
    worker.stdin.flush()


def outcomes(output: str) -> list[str]:
    lines = [json.loads(line) for line in output.splitlines()]
    return [line["outcome"] for line in lines if line.get("message") == "backup"]


def a_backup_of_many_parts() -> bytes:
    """Lines that hardly compress, enough for three parts."""
    numbers = random.Random(11)
    lines = (json.dumps({"id": i, "body": numbers.randbytes(3000).hex()}).encode() for i in range(6500))
    return gzip.compress(b"\n".join(lines), compresslevel=1, mtime=0)


@pytest.fixture(scope="module")
def content() -> bytes:
    return a_backup_of_many_parts()


@pytest.fixture(scope="module")
def site(content: bytes) -> Iterator[Site]:
    with Emulator() as emulator, FirestreamStandIn() as firestream:
        emulator.client("s3").create_bucket(Bucket=BUCKET)
        for name in ("requests", "failures"):
            emulator.client("sqs").create_queue(QueueName=name)
        login = json.dumps({"username": firestream.username, "password": firestream.password})
        emulator.client("ssm").put_parameter(Name="/login", Type="SecureString", Value=login)
        firestream.put("message", DAY, content)
        yield Site(emulator, firestream)


@pytest.fixture(autouse=True)
def empty(site: Site) -> None:
    site.forget()


def seconds_of_a_whole_fetch(site: Site, content: bytes) -> float:
    worker = site.worker()
    began = time.monotonic()
    go(worker)
    output, _ = worker.communicate(timeout=120)
    seconds = time.monotonic() - began
    assert outcomes(output) == ["stored"], output
    assert site.stored() == content
    site.forget()
    return seconds


def test_a_worker_killed_at_any_moment_leaves_nothing_or_every_byte(site: Site, content: bytes) -> None:
    seconds = seconds_of_a_whole_fetch(site, content)
    seen = set()
    for moment in range(12):
        worker = site.worker()
        go(worker)
        with suppress(subprocess.TimeoutExpired):
            worker.wait(seconds * moment / 11)
        worker.send_signal(signal.SIGKILL)
        worker.communicate(timeout=30)
        left = site.stored()
        assert left in (None, content), moment
        seen.add(left is None)
        if left is None:  # whoever comes next is not hindered by what the killed one left
            again = site.worker()
            go(again)
            output, _ = again.communicate(timeout=120)
            assert outcomes(output) == ["stored"]
            assert site.stored() == content
        site.forget()
    assert True in seen


@pytest.mark.parametrize("after", [0.02, 0.5, 0.999])
def test_a_worker_killed_in_the_middle_of_a_transfer_leaves_nothing(site: Site, content: bytes, after: float) -> None:
    site.firestream.fail("stall", file_type="message", day=DAY, after=after, seconds=60)
    before = site.firestream.served["message", DAY]
    worker = site.worker()
    go(worker)
    while site.firestream.served["message", DAY] - before < int(len(content) * after):
        time.sleep(0.01)
    worker.kill()
    worker.communicate(timeout=30)
    assert site.stored() is None
    assert site.uploads() <= 1  # the bucket's lifecycle aborts it within a day


def test_of_concurrent_workers_on_a_day_one_stores_it_and_none_leaves_an_upload(site: Site, content: bytes) -> None:
    workers = [site.worker() for _ in range(3)]
    for worker in workers:
        go(worker)
    results = sorted(outcome for worker in workers for outcome in outcomes(worker.communicate(timeout=120)[0]))
    assert results == ["already_there", "already_there", "stored"]
    assert site.stored() == content
    assert site.uploads() == 0
