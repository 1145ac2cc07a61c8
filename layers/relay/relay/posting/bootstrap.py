"""Builds the posting half, once for each container of a function."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from relay.aws import AWS_CONFIG, Clients
from relay.credentials import TOKEN, SecretParameter
from relay.environment import stack_name
from relay.posting.batch import BatchDelivery
from relay.posting.charts import Charts
from relay.posting.delivery import Delivery
from relay.posting.gate import Gate, Pace, pause_by_hours
from relay.posting.ledger import Ledger
from relay.posting.reconciliation import Reconciler
from relay.posting.settings import PostingSettings
from relay.posting.stocktwits import StockTwits
from relay.posting.telemetry import PostingTelemetry
from relay.queues import DeadLetters, Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from relay.posting.delivery import Spacing
    from relay.posting.outcome import Outcome
    from relay.queue_message import QueueMessage

    Announce = Callable[[Sequence[tuple[QueueMessage, Outcome]], Callable[[], float]], list[str]]


@dataclass(frozen=True)
class Container:
    """What a handler needs: a queue to take from, a gate to ask, and what delivers.

    Attributes:
        batches: Delivers batches of messages.
        stocktwits: The client; the handler closes its connections.
        outbox: The queue that publishers use.
        announce: Given a batch's messages with their outcomes, and how many seconds are left, it puts the final ones on
            the owner's event bus, if there is one; returns a line for each that did not reach it. Never raises.
    """

    queue: Queue
    gate: Gate
    batches: BatchDelivery
    stocktwits: StockTwits
    outbox: Queue
    announce: Announce


@cache
def telemetry(service: str) -> PostingTelemetry:
    """Return the function's log and metrics, made when first needed."""
    return PostingTelemetry(service, stack_name(os.environ))


@cache
def container() -> Container:
    """Build everything from the environment, when first needed.

    Raises:
        Misconfigured: A setting is missing or unreadable.
    """
    settings = PostingSettings.from_environment(os.environ)
    clients = Clients(s3=AWS_CONFIG)  # a chart is small: a silent S3 must not take the function's time
    dynamodb = clients.get("dynamodb")
    ledger = Ledger(dynamodb, settings.ledger_table_name, time.time)
    pace = Pace(settings.max_posts_per_hour, settings.post_burst, settings.max_posts_per_day)
    hours = pause_by_hours(settings.posting_hours, settings.posting_holidays)
    gate = Gate(dynamodb, settings.ledger_table_name, pace, time.time, hours)
    token = SecretParameter(TOKEN, lambda: clients.get("ssm"), settings.stocktwits_token_parameter, time.time)
    stocktwits = StockTwits(
        settings.stocktwits_api_url,
        settings.stocktwits_auth_style,
        token.credentials,
        settings.post_concurrency,
        time.time,
    )
    delivery = Delivery(
        claim=ledger.claim,
        settle=ledger.settle,
        known=ledger.known,
        perhaps_posted=ledger.perhaps_posted,
        find=Reconciler(stocktwits.stream, ledger.owners, time.time).find,
        page=stocktwits.page,
        prepare=Charts(lambda: clients.get("s3"), settings.chart_bucket_name).fetch,
        send=None if settings.dry_run else stocktwits.publish,
        now=time.time,
        spacing=_spacing(dynamodb, settings),
        expiry_seconds=60 * settings.default_expiry_minutes,
        expired_to_log=settings.expired_to == "log",
        waits_as_duplicate=settings.when_duplicate == "wait",
        rules_delay=bool(settings.posting_hours or settings.alike_minutes or settings.symbol_cooldown_minutes),
    )
    dead_letters = DeadLetters(lambda: clients.get("sqs"), settings.dead_letter_queue_url)

    def dead_letter(message: QueueMessage, outcome: Outcome) -> bool:
        return dead_letters.send(message, outcome.reason, key=outcome.key, status=outcome.status)

    batches = BatchDelivery(delivery, gate, dead_letter, settings.post_concurrency, time.time)
    source, outbox = (
        Queue(lambda: clients.get("sqs"), url) for url in (settings.source_queue_url, settings.outbox_queue_url)
    )
    return Container(source, gate, batches, stocktwits, outbox, _announce(clients, settings.result_event_bus_name))


def _spacing(dynamodb: DynamoDBClient, settings: PostingSettings) -> Spacing | None:
    if not (settings.alike_minutes or settings.symbol_cooldown_minutes):
        return None
    from relay.posting.spacing import Spacing  # noqa: PLC0415  only who sets such a rule pays for it

    return Spacing(
        dynamodb,
        settings.ledger_table_name,
        time.time,
        alike_seconds=60 * settings.alike_minutes,
        symbol_seconds=60 * settings.symbol_cooldown_minutes,
        dry_run=settings.dry_run,
    )


def _announce(clients: Clients, bus: str) -> Announce:
    if not bus:
        return lambda _delivered, _seconds_left: []
    from relay.posting.result_events import ResultEvents  # noqa: PLC0415  only who wants events pays for them

    return ResultEvents(lambda: clients.get("events"), bus).put
