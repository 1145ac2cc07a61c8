"""Count the calls that the relay makes for a message, in simulated time, and calculate a month's bill.

The relay's code is the real one; the queues, the table and StockTwits are the in-memory ones of
`verification.simulation`, without faults.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import requests
from relay.posting.gate import Pace

from verification.prices import LAMBDA_GB_SECOND
from verification.reliability.page import Section, table
from verification.simulation.network import Weather
from verification.simulation.scenario import Alert, Scenario
from verification.simulation.stocktwits import Nature
from verification.simulation.world import World

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from local.stand_ins.stocktwits.api import Reply, SeenRequest
    from local.stand_ins.stocktwits.faults import PlannedFault
    from verification.simulation.stocktwits import StockTwits

SIZES = (10, 1_000, 10_000)
BILLED_MESSAGES = 400
"""Enough to spread the fixed cost, and few enough for a test to count again."""

DAY = 24 * 3600
MONTH_DAYS = 30
ENDLESS = 10**9
MEMORY_GB = 0.5
OPEN = Pace(10**6, 10**6, 0)
"""No limit: the gate never refuses."""

BATCH = 10
MOST_WRITE_UNITS = 31
"""For ten alerts that arrive at once: for each a claim, whose its post is, and a settlement; one admission for all."""

MOST_READINGS = 1
"""How often the account's stream is requested for one alert whose answer was lost."""

GROWTH, ROUNDING = 1.1, 0.05
"""How many more calls a message may need among ten times as many: 10%, plus 0.05 calls for incomplete batches."""


@dataclass(frozen=True)
class Condition:
    """The state of the gate while messages wait."""

    name: str
    pace: Pace = OPEN
    pauses: list[tuple[float, float]] = field(default_factory=list)


CONDITIONS = (
    Condition("open"),
    Condition("60 posts an hour", Pace(60, 3, 0)),
    Condition("closed for a day", pauses=[(0.0, float(DAY))]),
)

OPEN_GATE, PACED, _ = CONDITIONS
BILLS = (
    ("idle", 0, OPEN_GATE),
    ("100 posts a day", 100, PACED),
    ("1,440 posts a day (60 an hour, all day)", 1440, PACED),
    ("10,000 posts a day, never held back", 10_000, OPEN_GATE),
)
"""The months of the bill: description, posts a day, and the gate's condition."""

# List prices of us-east-1 in US dollars, read in November 2026: https://aws.amazon.com/sqs/pricing/,
# https://aws.amazon.com/lambda/pricing/ (arm64), https://aws.amazon.com/dynamodb/pricing/on-demand/,
# https://aws.amazon.com/cloudwatch/pricing/.
SQS_REQUEST = 0.40 / 1e6
LAMBDA_REQUEST = 0.20 / 1e6
DYNAMODB_WRITE = 0.625 / 1e6
DYNAMODB_READ = 0.125 / 1e6
LOG_GB = 0.50
FREE_SQS_REQUESTS = 1e6
FREE_LAMBDA_REQUESTS = 1e6
FREE_GB_SECONDS = 400_000
FREE_LOG_GB = 5

LOG_BYTES_A_POST = 1500
"""A delivery's log line, and its share of the batch's metrics and of Lambda's own lines."""

API_REQUEST = 1.00 / 1e6
"""For a request to an HTTP API of at most 512 KB: https://aws.amazon.com/api-gateway/pricing/."""

WEBHOOK_SECONDS = 0.035
"""The billed duration of `ReceiveAlertsFunction` for an alert: about 4 ms of a whole processor (docs/benchmarks.md), of
which 512 MB have 0.29, and one call to SQS, for which AWS takes about 20 ms."""

WRONG_SECRET_SECONDS = 0.010
"""The same for a request that is refused before its body is read, which makes no call."""

WEBHOOK_LOG_BYTES, WRONG_SECRET_LOG_BYTES = 1600, 1600
"""The log of an alert, and of a wrong secret: a line of the API's access log, one of the function's, its metrics, and
Lambda's own lines. `verification.reliability.webhook` measures the function's."""

POLLERS, POLL_SECONDS = 5, 20
"""How an idle event source mapping polls: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html."""

POLLED_QUEUES = 2
IDLE_DRAIN_REQUESTS = 2
IDLE_DRAIN_SECONDS = 1.1
"""An idle drain reads the gate, waits a second for messages in Leftovers, and counts those in the Outbox."""


@dataclass(frozen=True)
class Usage:
    """The usage of AWS for some messages, until the last one was posted.

    Attributes:
        messages: How many messages.
        hours: How long it took, in simulated time.
        calls: The calls, by service and name.
        invocations: The invocations of both functions.
        gb_seconds: Their duration times their memory.
    """

    messages: int
    hours: float
    calls: Counter[str]
    invocations: int
    gb_seconds: float

    def of(self, service: str) -> int:
        """Return the number of calls to one service."""
        return sum(count for name, count in self.calls.items() if name.startswith(service))

    @property
    def write_units(self) -> int:
        """The DynamoDB write units: one for each write, as no item is longer than a kilobyte.

        ``tests/integration/posting/test_ledger_cost.py`` measures the items.
        """
        return self.calls["dynamodb.UpdateItem"] + self.calls["dynamodb.PutItem"]


@dataclass(frozen=True)
class Bill:
    """A month's usage, and its cost in US dollars without and with the free tier."""

    sqs: float
    lambda_requests: float
    gb_seconds: float
    writes: float
    reads: float
    log_gb: float

    @property
    def listed(self) -> float:
        """The cost at list prices."""
        return (
            self.sqs * SQS_REQUEST
            + self.lambda_requests * LAMBDA_REQUEST
            + self.gb_seconds * LAMBDA_GB_SECOND["arm64"]
            + self._dynamodb
            + self.log_gb * LOG_GB
        )

    @property
    def paid(self) -> float:
        """The cost after the free tier."""
        return (
            max(0.0, self.sqs - FREE_SQS_REQUESTS) * SQS_REQUEST
            + max(0.0, self.lambda_requests - FREE_LAMBDA_REQUESTS) * LAMBDA_REQUEST
            + max(0.0, self.gb_seconds - FREE_GB_SECONDS) * LAMBDA_GB_SECOND["arm64"]
            + self._dynamodb
            + max(0.0, self.log_gb - FREE_LOG_GB) * LOG_GB
        )

    @property
    def _dynamodb(self) -> float:
        return self.writes * DYNAMODB_WRITE + self.reads * DYNAMODB_READ


def usage(messages: int, condition: Condition, lost: int = 0) -> Usage:
    """Publish a number of messages at once, and count until the last one is posted.

    Args:
        messages: How many messages.
        condition: The state of the gate while they wait.
        lost: How many of them are posted by an attempt whose answer is lost.
    """
    alerts = [Alert(0.0, f"$AAPL alert {number}", f"$AAPL alert {number}") for number in range(messages)]
    end = max((end for _, end in condition.pauses), default=0.0)
    day = Scenario(
        messages, alerts, Weather(), Nature(), condition.pace, 4, end, smallest_batch=10, pauses=condition.pauses
    )
    world = World(day, max_turns=ENDLESS, trace=False)
    _lose_answers(world.stocktwits, {each.body for each in alerts[:lost]})
    world.run()
    posted = len(world.stocktwits.timeline.posts)
    if posted != messages:
        raise AssertionError(f"{posted} of {messages} messages were posted")
    return Usage(
        messages,
        (world.scheduler.now - world.began) / 3600,
        world.network.calls,
        len(world.invocations),
        sum(seconds for _, seconds in world.invocations) * MEMORY_GB,
    )


def _lose_answers(stocktwits: StockTwits, texts: set[str]) -> None:
    """Let the connection break when StockTwits has made the post of each of these texts."""
    answer = stocktwits.answer

    def answer_or_break(seen: SeenRequest, *behaviours: PlannedFault) -> Reply:
        reply = answer(seen, *behaviours)
        if (text := seen.fields.get("body")) in texts:
            texts.remove(text)
            raise requests.ConnectionError
        return reply

    stocktwits.answer = answer_or_break  # type: ignore[method-assign]


def month(posts_a_day: int, measured: Usage) -> Bill:
    """Return the bill of a month from the posts a day, the measured usage of a message, and the idle usage."""
    posts = posts_a_day * MONTH_DAYS
    each = 1 / measured.messages
    minutes = MONTH_DAYS * 24 * 60
    polls = POLLED_QUEUES * POLLERS * MONTH_DAYS * DAY / POLL_SECONDS
    return Bill(
        sqs=polls + IDLE_DRAIN_REQUESTS * minutes + posts * each * measured.of("sqs"),
        lambda_requests=minutes + posts * each * measured.invocations,
        gb_seconds=minutes * IDLE_DRAIN_SECONDS * MEMORY_GB + posts * each * measured.gb_seconds,
        writes=posts * each * measured.write_units,
        reads=2 * (minutes + posts * each * measured.calls["dynamodb.BatchGetItem"]),  # two items, read consistently
        log_gb=posts * LOG_BYTES_A_POST / 1e9,
    )


@dataclass(frozen=True)
class WebhookBill:
    """What requests to the webhook cost in US dollars, at list prices, up to the Outbox."""

    api: float
    lambda_requests: float
    duration: float
    sqs: float
    logs: float

    @property
    def total(self) -> float:
        """The sum."""
        return self.api + self.lambda_requests + self.duration + self.sqs + self.logs


def webhook(requests_: int, *, taken: bool = True) -> WebhookBill:
    """Return the cost of a number of requests to the webhook.

    Args:
        requests_: How many, each of which reaches the function: what exceeds the throttle does not.
        taken: Whether each becomes a message in the Outbox; if not, each has a wrong secret.
    """
    seconds, log_bytes = (
        (WEBHOOK_SECONDS, WEBHOOK_LOG_BYTES) if taken else (WRONG_SECRET_SECONDS, WRONG_SECRET_LOG_BYTES)
    )
    return WebhookBill(
        api=requests_ * API_REQUEST,
        lambda_requests=requests_ * LAMBDA_REQUEST,
        duration=requests_ * seconds * MEMORY_GB * LAMBDA_GB_SECOND["arm64"],
        sqs=requests_ * SQS_REQUEST * taken,
        logs=requests_ * log_bytes / 1e9 * LOG_GB,
    )


def webhook_price_list(throttle: int) -> str:
    """Format the webhook's costs as in ``docs/webhook.md``.

    Args:
        throttle: The template's default for ``WebhookRatePerSecond``.
    """
    rows = (
        ("nothing is sent", webhook(0)),
        ("100 alerts a day, for a month", webhook(100 * MONTH_DAYS)),
        ("a million alerts", webhook(10**6)),
        (f"wrong secrets for a day, {throttle} a second", webhook(throttle * DAY, taken=False)),
    )
    return table(
        ["", "API Gateway", "Lambda", "SQS", "logs", "together"],
        [
            [words, *(f"{each:.2f}" for each in (bill.api, _of_lambda(bill), bill.sqs, bill.logs, bill.total))]
            for words, bill in rows
        ],
    )


def _of_lambda(bill: WebhookBill) -> float:
    return bill.lambda_requests + bill.duration


def bills(measured: Mapping[str, Usage]) -> list[tuple[str, Bill]]:
    """Return each bill of `BILLS` from the measured usage by the condition's name."""
    return [(words, month(posts, measured[condition.name])) for words, posts, condition in BILLS]


def price_list(all_bills: Sequence[tuple[str, Bill]]) -> str:
    """Format bills as in the README."""
    return table(["a month", "list price", "to pay"], [[words, *_prices(bill)] for words, bill in all_bills])


def grown(smaller: Usage, larger: Usage) -> list[str]:
    """Return the calls that grow faster than the number of messages."""
    names = sorted({*smaller.calls, *larger.calls} | {"invocations"})
    counts = [each.calls | {"invocations": each.invocations} for each in (smaller, larger)]
    each = [
        (name, counts[0].get(name, 0) / smaller.messages, counts[1].get(name, 0) / larger.messages) for name in names
    ]
    return [
        f"{name}: {before:.3f} a message of {smaller.messages}, {after:.3f} of {larger.messages}"
        for name, before, after in each
        if after > GROWTH * before + ROUNDING
    ]


def prove() -> Section:
    """Count the calls, and write the section."""
    rows, violations = [], []
    for condition in CONDITIONS:
        print(f"Counting calls, the gate {condition.name}", flush=True)
        before = None
        for size in SIZES:
            now = usage(size, condition)
            rows.append(_row(condition, now))
            if before and before.messages >= SIZES[1]:
                violations += [f"{condition.name}: {each}" for each in grown(before, now)]
            before = now
    together = {lost: usage(BATCH, OPEN_GATE, lost) for lost in (0, 1, BATCH)}
    if together[0].write_units > MOST_WRITE_UNITS:
        violations.append(f"{BATCH} alerts cost {together[0].write_units} write units, more than {MOST_WRITE_UNITS}")
    if together[1].calls["stocktwits.stream"] > MOST_READINGS:
        violations.append(f"one lost answer cost {together[1].calls['stocktwits.stream']} requests for the stream")
    all_bills = bills({each.name: usage(BILLED_MESSAGES, each) for each in (OPEN_GATE, PACED)})
    lost_rows = [_of_lost(*each) for each in together.items()]
    headings = ["gate", "messages", "hours", "SQS", "DynamoDB writes", "DynamoDB reads", "Lambda", "GB s", "StockTwits"]
    text = f"""\
## Limits

This is how the cost of a message grows. The real functions, ledger and gate run in simulated time, with queues, a table
and StockTwits in memory; AWS takes about 20 ms for an answer there, StockTwits about 1 s. All messages are published at
once. The columns from SQS on are per message: calls, invocations of both functions, and their duration times memory.

{table(headings, rows)}

The cost is linear: a message costs no more among ten thousand than among a thousand. Few messages cost more each, since
they share a fixed cost: while the gate is closed, the drain reads the gate every minute (one read of two items) and
checks whether messages wait (one request), however many they are. The Outbox delivers a message at most three times,
and Leftovers only as many as may be posted, so a message costs nothing more while the gate is closed, whether for an
hour or for a day.

{BATCH} alerts that arrive at once cost at most {MOST_WRITE_UNITS} write units of DynamoDB: for each alert a claim, the
record whose its post is, and a settlement, and one admission for all. An alert whose answer is lost is claimed and
settled once more, and the account's stream is requested once, for all alerts that are looked for at that time:

{table(["alerts", "answers lost", "write units", "requests for the stream"], lost_rows)}

The cost of a month, in US dollars at the list prices of us-east-1 for arm64, without and with the free tier:

{table(["", "SQS requests", "GB s", "DynamoDB writes", "list price", "to pay"], [_billed(*each) for each in all_bills])}

An idle stack has two event sources that poll their queues every {POLL_SECONDS} s with {POLLERS} pollers each, and a
drain every minute. In addition, CloudWatch charges 0.30 a month for each metric after the first ten, and S3 the size of
the archive.
"""
    return Section.of(text, violations)


def _row(condition: Condition, taken: Usage) -> list[object]:
    each = 1 / taken.messages
    return [
        condition.name,
        taken.messages,
        f"{taken.hours:.1f}",
        f"{taken.of('sqs') * each:.2f}",
        f"{taken.write_units * each:.2f}",
        f"{taken.calls['dynamodb.BatchGetItem'] * each:.2f}",
        f"{taken.invocations * each:.2f}",
        f"{taken.gb_seconds * each:.3f}",
        f"{taken.of('stocktwits') * each:.2f}",
    ]


def _of_lost(lost: int, taken: Usage) -> list[object]:
    return [taken.messages, lost, taken.write_units, taken.calls["stocktwits.stream"]]


def _billed(description: str, bill: Bill) -> list[object]:
    return [
        description,
        round(bill.sqs),
        round(bill.gb_seconds),
        round(bill.writes),
        *_prices(bill),
    ]


def _prices(bill: Bill) -> tuple[str, str]:
    return f"{bill.listed:.2f}", f"{bill.paid:.2f}"
