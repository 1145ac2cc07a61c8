"""Where the posting half is put together, once for each container of a function."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from relay.charts import Charts
from relay.credentials import TokenParameter
from relay.delivery import Delivery
from relay.gate import Gate, Pace
from relay.ledger import Ledger
from relay.posting import Posting
from relay.posting_report import PostingReport
from relay.queues import DeadLetters, Queue
from relay.settings import AWS_CONFIG, Clients, PostingSettings, stack_name
from relay.stocktwits import StockTwits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from relay.delivery import Outcome
    from relay.received import Message

    Announce = Callable[[Sequence[tuple[Message, Outcome]], Callable[[], float]], list[str]]


@dataclass(frozen=True)
class Relay:
    """What an edge needs: a queue to take from, a gate to ask, and a way to deliver.

    Attributes:
        outbox: The queue that publishers use.
        announce: Given a batch's messages with their outcomes, and how many seconds are left, it puts the final ones on
            the owner's event bus, if there is one; returns a line for each that did not get there. Never raises.
    """

    queue: Queue
    gate: Gate
    posting: Posting
    stocktwits: StockTwits
    outbox: Queue
    announce: Announce

    @contextmanager
    def connected(self) -> Iterator[Posting]:
        """Give the way to deliver, and close its connections afterwards."""
        try:
            yield self.posting
        finally:
            self.stocktwits.close()


@cache
def report(service: str) -> PostingReport:
    """Return the function's log and metrics, made when first needed."""
    return PostingReport(service, stack_name(os.environ))


@cache
def relay() -> Relay:
    """Put the relay together from the environment, when first needed.

    Raises:
        Misconfigured: A setting is missing or unreadable.
    """
    settings = PostingSettings.from_environment(os.environ)
    clients = Clients(s3=AWS_CONFIG)  # a chart is small: a silent S3 must not take the function's time
    dynamodb = clients.get("dynamodb")
    ledger = Ledger(dynamodb, settings.ledger_table_name, time.time)
    pace = Pace(settings.max_posts_per_hour, settings.post_burst, settings.max_posts_per_day)
    gate = Gate(dynamodb, settings.ledger_table_name, pace, time.time)
    token = TokenParameter(lambda: clients.get("ssm"), settings.stocktwits_token_parameter, time.time)
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
        find=stocktwits.find,
        prepare=Charts(lambda: clients.get("s3"), settings.chart_bucket_name).fetch,
        send=None if settings.dry_run else stocktwits.publish,
        now=time.time,
    )
    dead_letters = DeadLetters(lambda: clients.get("sqs"), settings.dead_letter_queue_url)
    posting = Posting(delivery, gate, dead_letters.bury, settings.post_concurrency, time.time)
    source, outbox = (
        Queue(lambda: clients.get("sqs"), url) for url in (settings.source_queue_url, settings.outbox_queue_url)
    )
    return Relay(source, gate, posting, stocktwits, outbox, _announce(clients, settings.result_event_bus_name))


def _announce(clients: Clients, bus: str) -> Announce:
    if not bus:
        return lambda _delivered, _seconds_left: []
    from relay.result_events import ResultEvents  # noqa: PLC0415  only who wants events pays for them

    return ResultEvents(lambda: clients.get("events"), bus).put
