"""Where the backup half is put together, once for each container of its function."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from relay.archive import Archive
from relay.backup_report import BackupReport
from relay.backups import Backups
from relay.credentials import LoginParameter
from relay.firestream import Firestream
from relay.queues import DeadLetters, Queue
from relay.settings import BackupSettings, Clients, stack_name

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Fetching:
    """What the edge needs: the queue of requests, and what fetches."""

    queue: Queue
    backups: Backups
    firestream: Firestream

    @contextmanager
    def connected(self) -> Iterator[Backups]:
        """Give what fetches, and close its connections afterwards."""
        try:
            yield self.backups
        finally:
            self.firestream.close()


@cache
def report() -> BackupReport:
    """Return the function's log and metrics, made when first needed."""
    return BackupReport("fetch_backups", stack_name(os.environ))


@cache
def fetching() -> Fetching:
    """Put it together from the environment, when first needed.

    Raises:
        Misconfigured: A setting is missing or unreadable, or two do not fit each other.
    """
    settings = BackupSettings.from_environment(os.environ)
    clients = Clients()
    queue = Queue(lambda: clients.get("sqs"), settings.backup_requests_queue_url)
    failures = DeadLetters(lambda: clients.get("sqs"), settings.backup_failures_queue_url)
    login = LoginParameter(lambda: clients.get("ssm"), settings.firestream_credentials_parameter, time.time)
    firestream = Firestream(settings.firestream_url, login.credentials, time.time)
    backups = Backups(
        archive=Archive(lambda: clients.get("s3"), settings.backup_bucket_name, time.time),
        open=firestream.open,
        request=queue.send,
        bury=failures.bury,
        file_types=settings.file_types,
        lag_days=settings.backup_lag_days,
        lookback_days=settings.backup_lookback_days,
        now=time.time,
    )
    return Fetching(queue, backups, firestream)
