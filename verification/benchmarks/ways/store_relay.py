"""Storing by the relay: what `fetch_backups` does with a request, verified."""

import time
from collections.abc import Callable
from datetime import date

from relay.aws import Clients
from relay.backups.backup import Backup
from relay.backups.bucket import Archive
from relay.backups.firestream import Firestream
from relay.credentials import Login

from verification.benchmarks.ways.job import BUCKET, Job

_SECONDS_LEFT = 900.0


def prepare(job: Job) -> Callable[[], int]:
    """See `verification.benchmarks.ways.job.Way`."""

    def login(*, fresh: bool = False) -> Login:  # noqa: ARG001  it never changes
        return Login(job.username, job.password)

    s3 = Clients().get("s3")
    archive = Archive(lambda: s3, BUCKET, time.time)
    firestream = Firestream(job.firestream_url, login, time.time)
    backup = Backup(date.fromisoformat(job.day), job.file_type)

    def run() -> int:
        with firestream.open(backup, lambda: _SECONDS_LEFT) as download:
            receipt = archive.store(backup, download)
        if receipt is None:
            raise RuntimeError("the object exists already")
        archive.tag(backup, receipt, download.identity)
        return receipt.content.lines

    return run
