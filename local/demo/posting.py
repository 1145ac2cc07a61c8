"""The demo of posting: publish messages, wait for the relay, and check the result of each.

The real queues, event source mapping and schedule do the work; this module only publishes, watches and compares.
"""

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from local.build import ROOT
from local.demo.waiting import Waiting
from local.stack.logs import Logs
from local.stack.stack import PACE, Stack
from local.stack.webhook import add_source

BURST = 25
BURST_SHOWS = "a burst over the pace"
MAX_WAIT_SECONDS = 240
LOST_ANSWER = "Answer lost: $NVDA breaks out of its range on twice the usual volume"
RATE_LIMITED = "Rate limited: $TSLA turns lower at its 50-day average"
RESET_SECONDS = 5
TEXT_OF_TRADINGVIEW = "$GOOG closes above its 50-day average at 182.40"
JSON_OF_TRADINGVIEW = {
    "body": "$AMZN closes below its 200-day average at 211.05",
    "sentiment": "bearish",
    "key": "below-200-AMZN-2026-11-27T14:30:00Z",
}
ANSWER_SECONDS = 30
"""How long to wait for the webhook's answer. TradingView waits for 3 s, but here all functions start at the same time,
on one machine."""


WORKERS = {"post_messages": "from the Outbox", "drain_leftovers": "from Leftovers"}
"""Where each function takes messages from."""

OUTCOMES = {
    "already_posted": "not posted again, since its key was posted before",
    "rejected": "refused, and moved to Dead letters",
}
"""What is shown in place of an outcome's name."""

ENDS = {"invalid": ("rejected",), "duplicate_key": ("posted", "already_posted")}
"""The expected outcomes of the samples that are not simply posted."""


@dataclass
class DemoMessage:
    """One published message: what it demonstrates, its expected outcomes, and the relay's log lines about it.

    `posted_as` is the media type with which it is POSTed to the webhook; empty if it is sent to the Outbox directly.
    """

    shows: str
    body: str
    ends: tuple[str, ...] = ("posted",)
    posted_as: str = ""
    message_id: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def final(self) -> dict[str, Any] | None:
        """The log line with its final outcome, if it has one."""
        return next((line for line in self.lines if line["outcome"] != "deferred"), None)

    @property
    def as_expected(self) -> bool:
        """Whether it ended as expected."""
        return self.final is not None and self.final["outcome"] in self.ends


def demo_messages() -> list[DemoMessage]:
    """Return the messages to publish: the sample events, two by the webhook, two that meet faults, and a burst."""
    samples = {
        "plain_text": "plain text",
        "json_sentiment": "JSON with sentiment",
        "reply": "a reply",
        "chart_s3": "a chart from S3",
        "sns_notification": "inside an SNS notification",
        "eventbridge_event": "inside an EventBridge event",
        "duplicate_key": "a publisher's key, twice",
        "invalid": "an invalid message",
    }
    shown = [
        DemoMessage(shows, record["body"], ENDS.get(name, ("posted",)))
        for name, shows in samples.items()
        for record in json.loads((ROOT / "events" / f"{name}.json").read_text())["Records"]
    ]
    # Before the burst uses up the pace: a message that fails in the minute drain is retried a minute later.
    shown = [
        DemoMessage("posted, but the answer is lost", LOST_ANSWER),
        *shown,
        DemoMessage("by the webhook, in JSON", json.dumps(JSON_OF_TRADINGVIEW), posted_as="application/json"),
        DemoMessage("by the webhook, as text", TEXT_OF_TRADINGVIEW, posted_as="text/plain"),
        DemoMessage("a 429 with a reset", RATE_LIMITED),
    ]
    burst = [
        DemoMessage(BURST_SHOWS, f"Minute bar {minute}: $SPY closes at {600 + minute / 4:.2f}")
        for minute in range(1, BURST + 1)
    ]
    return shown + burst


class PostingDemo:
    """Publishes the messages, waits for the relay, and compares."""

    def __init__(self, stack: Stack, console: Console) -> None:
        """Use a running stack."""
        self._stack = stack
        self._console = console
        self._messages = demo_messages()
        self._by_id: dict[str, DemoMessage] = {}
        self._logs = Logs(stack, "PostMessagesLogs", "DrainLeftoversLogs")

    def begin(self) -> None:
        """Publish all messages."""
        self._stack.stocktwits.fail("reset-after", text=LOST_ANSWER)
        self._stack.stocktwits.fail("429", text=RATE_LIMITED, reset_in_seconds=RESET_SECONDS)
        self._publish()

    def end(self) -> bool:
        """Wait until every message has ended, and show the outcomes; return whether each is as expected."""
        self._watch()
        self._show()
        failures = list(self._failures())
        for failure in failures:
            self._console.print(Text(f"Not as expected: {failure}", style="bold red"))
        if not failures:
            self._console.print("[bold green]Every message ended as expected.[/] No key was posted twice.")
        return not failures

    def summary(self) -> Iterator[str]:
        """Count how the messages ended, and say what went wrong on the way and was healed."""
        ended = Counter(each.final["outcome"] for each in self._messages if each.final)
        yield (
            f"{len(self._messages)} messages: {ended['posted']} posted, {ended['already_posted']} not posted again, "
            f"{ended['rejected']} refused and kept in Dead letters."
        )
        for message in self._messages:
            if message.final and message.final["outcome"] == "rejected":
                yield f"Refused: {message.final['reason']}"
        healed = {
            "a lost answer, whose post was found on the account's stream": self._is_healed(LOST_ANSWER),
            "a rate limit, which was waited out": self._is_healed(RATE_LIMITED),
        }
        yield f"Healed: {'; '.join(what for what, is_healed in healed.items() if is_healed) or 'nothing'}."

    def _is_healed(self, body: str) -> bool:
        """Return whether a message was posted although an attempt to post it failed."""
        (message,) = [each for each in self._messages if each.body == body]
        return bool(message.final and message.final["outcome"] == "posted" and len(message.lines) > 1)

    @property
    def _own(self) -> list[DemoMessage]:
        """The messages that are shown one by one."""
        return [each for each in self._messages if each.shows != BURST_SHOWS]

    def _publish(self) -> None:
        sqs = self._stack.client("sqs")
        url, webhook = self._stack.outputs["OutboxQueueUrl"], add_source(self._stack, "tradingview")
        for message in self._messages:
            if message.posted_as:
                message.message_id = _post(webhook, message)
            else:
                message.message_id = sqs.send_message(QueueUrl=url, MessageBody=message.body)["MessageId"]
            self._by_id[message.message_id] = message
        posted = sum(bool(message.posted_as) for message in self._messages)
        self._console.print(
            f"Sent {len(self._messages)} messages to the Outbox, {posted} of them by the webhook, as TradingView does. "
            f"{BURST} are a burst: more than the pace of {PACE['PostBurst']} at once allows."
        )

    def _watch(self) -> None:
        """Follow the functions' logs until every message has ended, or the time is up."""
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        with Waiting(self._console) as waiting:
            while time.monotonic() < deadline:
                self._read_logs()
                ended = sum(each.final is not None for each in self._messages)
                if ended == len(self._messages):
                    return
                waiting.show(
                    f"Waiting for the messages: {ended} of {len(self._messages)} have ended, "
                    f"{self._waiting('LeftoversQueue')} are in Leftovers until the next minute"
                )
                time.sleep(0.5)

    def _read_logs(self) -> None:
        for line in self._logs.new():
            message = self._by_id.get(str(line.get("message_id")))
            if message and line.get("message") == "delivery":
                message.lines.append(line)

    def _waiting(self, queue: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._stack.client("sqs").get_queue_attributes(
            QueueUrl=self._stack.outputs[f"{queue}Url"], AttributeNames=names
        )
        return sum(int(answer["Attributes"][name]) for name in names)

    def _show(self) -> None:
        """Print the outcome of each message, and those of the burst in one line."""
        bodies: dict[Any, str] = {post.id: post.body for post in self._stack.stocktwits.posts}
        self._console.print("\n[bold]How each message ended[/]")
        for message in self._own:
            final = message.final or {"outcome": "no outcome", "reason": f"none within {MAX_WAIT_SECONDS} seconds"}
            post_id = final.get("stocktwits_id")
            self._print_head(message.shows, _shortened(bodies.get(post_id, message.body)), message.as_expected)
            outcome = OUTCOMES.get(final["outcome"]) or f"{final['outcome']} {self._worker(message)}".strip()
            if final.get("receive_count", 1) > 1:
                outcome += f", received {final['receive_count']} times"
            self._print_detail(Text(f"{outcome}: {final.get('url') or final['reason']}"))
            if final["outcome"] == "posted" and final["reason"]:
                self._print_detail(Text(final["reason"], "dim"))
        burst = [each for each in self._messages if each.shows == BURST_SHOWS]
        self._print_head(BURST_SHOWS, f"{len(burst)} messages", all(each.as_expected for each in burst))
        counts = Counter((each.final["outcome"], self._worker(each)) for each in burst if each.final)
        self._print_detail(
            Text(", ".join(f"{number} {outcome} {worker}" for (outcome, worker), number in sorted(counts.items())))
        )
        self._console.print()

    def _print_head(self, shows: str, body: str, as_expected: bool) -> None:  # noqa: FBT001
        mark, style = ("✓", "green") if as_expected else ("✗", "bold red")
        self._console.print(Text.assemble((f"{mark} ", style), (f"{shows}: ", "bold"), body))

    def _print_detail(self, text: Text) -> None:
        self._console.print(Padding(text, (0, 0, 0, 4), expand=False))

    def _worker(self, message: DemoMessage) -> str:
        return WORKERS.get(message.final["service"], "") if message.final else ""

    def _failures(self) -> Iterator[str]:
        """Compare the log, StockTwits and Dead letters with the expected outcomes."""
        bodies = [post.body for post in self._stack.stocktwits.posts]
        for message in self._messages:
            if not message.as_expected:
                yield f"{message.shows}: {message.body[:40]!r} should be {' or '.join(message.ends)}"
        twins = [each.final["outcome"] for each in self._messages if "already_posted" in each.ends and each.final]
        if sorted(twins) != ["already_posted", "posted"]:
            yield f"of two messages with one key, one should be posted and one already posted, not {twins}"
        for body in {body for body in bodies if bodies.count(body) > 1}:
            yield f"{body!r} is on StockTwits {bodies.count(body)} times"
        posted = sum(each.final is not None and each.final["outcome"] == "posted" for each in self._messages)
        if len(bodies) != posted:
            yield f"StockTwits has {len(bodies)} posts, the relay's log {posted}"
        if not any(self._worker(each) == WORKERS["drain_leftovers"] for each in self._messages):
            yield "no message was posted from Leftovers"
        rejected = [each for each in self._messages if "rejected" in each.ends]
        if sorted(self._dead_letters()) != sorted(each.body for each in rejected):
            yield "Dead letters should contain exactly the rejected messages, each with its reason"

    def _dead_letters(self) -> list[str]:
        answer = self._stack.client("sqs").receive_message(
            QueueUrl=self._stack.outputs["DeadLetterQueueUrl"], MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        return [
            each["Body"]
            for each in answer.get("Messages", [])
            if each.get("MessageAttributes", {}).get("RejectReason", {}).get("StringValue")
        ]


def _post(webhook: str, message: DemoMessage) -> str:
    """POST an alert as TradingView does, and return its message id."""
    headers = {"Content-Type": f"{message.posted_as}; charset=utf-8", "User-Agent": "Go-http-client/1.1"}
    request = urllib.request.Request(webhook, message.body.encode(), headers)
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
        return str(json.load(answer)["id"])


def _shortened(body: str, most: int = 60) -> str:
    flat = " ".join(body.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"
