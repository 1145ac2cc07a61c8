"""Builds the backup half, once for each container of its function."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from relay.aws import Clients
from relay.backups.bucket import Archive
from relay.backups.fetcher import Fetcher
from relay.backups.firestream import Firestream
from relay.backups.runs import Backups
from relay.backups.settings import BackupSettings
from relay.backups.telemetry import BackupTelemetry
from relay.credentials import LOGIN, SecretParameter
from relay.environment import stack_name
from relay.queues import DeadLetters, Queue

if TYPE_CHECKING:
    from relay.backups.fetcher import Outcome
    from relay.queue_message import QueueMessage


@dataclass(frozen=True)
class Container:
    """What the handler needs: the queue of requests, what fetches, and the client, whose connections it closes."""

    queue: Queue
    backups: Backups
    firestream: Firestream


@cache
def telemetry() -> BackupTelemetry:
    """Return the function's log and metrics, made when first needed."""
    return BackupTelemetry("fetch_backups", stack_name(os.environ))


@cache
def container() -> Container:
    """Build everything from the environment, when first needed.

    Raises:
        Misconfigured: A setting is missing or unreadable, or two do not fit each other.
    """
    settings = BackupSettings.from_environment(os.environ)
    clients = Clients()
    queue = Queue(lambda: clients.get("sqs"), settings.backup_requests_queue_url)
    failures = DeadLetters(lambda: clients.get("sqs"), settings.backup_failures_queue_url)
    login = SecretParameter(LOGIN, lambda: clients.get("ssm"), settings.firestream_credentials_parameter, time.time)
    firestream = Firestream(settings.firestream_url, login.credentials, time.time)

    def dead_letter(request: QueueMessage, outcome: Outcome) -> bool:
        return failures.send(request, outcome.reason, status=outcome.status)

    backups = Backups(
        fetcher=Fetcher(Archive(lambda: clients.get("s3"), settings.backup_bucket_name, time.time), firestream.open),
        request=queue.send,
        dead_letter=dead_letter,
        file_types=settings.file_types,
        lag_days=settings.backup_lag_days,
        lookback_days=settings.backup_lookback_days,
        now=time.time,
    )
    return Container(queue, backups, firestream)
