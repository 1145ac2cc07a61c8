"""The demo of posting: what became of each message.

The real queues, event source mapping and minute schedule do the work; this module publishes, watches and compares.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from local.build import ROOT
from local.stack.logs import Logs
from local.stack.stack import Stack

BURST = 25
PATIENCE_SECONDS = 240
LOST_ANSWER = "Answer lost: $NVDA breaks out of its range on twice the usual volume"
RATE_LIMITED = "Rate limited: $TSLA turns lower at its 50-day average"
RESET_SECONDS = 5


ENDS = {"invalid": ("rejected",), "duplicate_key": ("posted", "already_posted")}
"""How samples end that are not simply posted."""


@dataclass
class Exhibit:
    """One published message: what it shows, how it should end, and what the relay's log says of it."""

    shows: str
    body: str
    ends: tuple[str, ...] = ("posted",)
    message_id: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def final(self) -> dict[str, Any] | None:
        """The log line of its end, if it has ended."""
        return next((line for line in self.lines if line["outcome"] != "deferred"), None)

    @property
    def as_expected(self) -> bool:
        """Whether it ended as it should."""
        return self.final is not None and self.final["outcome"] in self.ends


def exhibits() -> list[Exhibit]:
    """Return what is published: the sample events, two faults of StockTwits, and a burst."""
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
        Exhibit(shows, record["body"], ENDS.get(name, ("posted",)))
        for name, shows in samples.items()
        for record in json.loads((ROOT / "events" / f"{name}.json").read_text())["Records"]
    ]
    # Before the burst uses up the pace: a fault that is first met by the drain would take another minute to mend.
    shown = [
        Exhibit("posted, but the answer is lost", LOST_ANSWER),
        *shown,
        Exhibit("a 429 with a reset", RATE_LIMITED),
    ]
    burst = [
        Exhibit("a burst over the pace", f"Minute bar {minute}: $SPY closes at {600 + minute / 4:.2f}")
        for minute in range(1, BURST + 1)
    ]
    return shown + burst


class PostingDemo:
    """Publishes the exhibits, waits for the relay, and compares."""

    def __init__(self, stack: Stack, console: Console) -> None:
        """Use a running stack."""
        self._stack = stack
        self._console = console
        self._exhibits = exhibits()
        self._by_id: dict[str, Exhibit] = {}
        self._logs = Logs(stack, "PostMessagesLogs", "DrainLeftoversLogs")

    def begin(self) -> None:
        """Publish everything; the relay does the rest."""
        self._stack.stocktwits.fail("reset-after", text=LOST_ANSWER)
        self._stack.stocktwits.fail("429", text=RATE_LIMITED, reset_in_seconds=RESET_SECONDS)
        self._publish()

    def end(self) -> bool:
        """Wait for every message's end, and show it; say whether each is as it should be."""
        self._watch()
        self._show()
        complaints = list(self._complaints())
        for complaint in complaints:
            self._console.print(Text(f"Not as it should be: {complaint}", style="bold red"))
        if not complaints:
            posts = len(self._stack.stocktwits.posts)
            drained = sum(self._edge(each) == "drain" for each in self._exhibits)
            self._console.print(
                f"[bold green]Every message ended as it should:[/] {len(self._exhibits)} messages, {posts} posts, "
                f"none twice; {drained} of them by the minute drain."
            )
        return not complaints

    def _publish(self) -> None:
        sqs = self._stack.client("sqs")
        url = self._stack.outputs["OutboxQueueUrl"]
        for exhibit in self._exhibits:
            exhibit.message_id = sqs.send_message(QueueUrl=url, MessageBody=exhibit.body)["MessageId"]
            self._by_id[exhibit.message_id] = exhibit
        self._console.print(f"Published {len(self._exhibits)} messages to the Outbox.")

    def _watch(self) -> None:
        """Follow the functions' logs until every message has its end, or patience its own."""
        progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        done = progress.add_task("messages at their end", total=len(self._exhibits))
        drain = progress.add_task("waiting for the drain", total=None)
        deadline = time.monotonic() + PATIENCE_SECONDS
        with Live(progress, console=self._console, refresh_per_second=8, transient=True):
            while time.monotonic() < deadline:
                self._read_logs()
                ended = sum(each.final is not None for each in self._exhibits)
                progress.update(done, completed=ended)
                progress.update(drain, description=f"Leftovers hold {self._waiting('LeftoversQueue'):>3}")
                if ended == len(self._exhibits):
                    return
                time.sleep(0.5)

    def _read_logs(self) -> None:
        for line in self._logs.new():
            exhibit = self._by_id.get(str(line.get("message_id")))
            if exhibit and line.get("message") == "delivery":
                exhibit.lines.append(line)

    def _waiting(self, queue: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._stack.client("sqs").get_queue_attributes(
            QueueUrl=self._stack.outputs[f"{queue}Url"], AttributeNames=names
        )
        return sum(int(answer["Attributes"][name]) for name in names)

    def _show(self) -> None:
        """Print what became of each message: its text, its outcome, its id and link or its reason."""
        bodies: dict[Any, str] = {post.id: post.body for post in self._stack.stocktwits.posts}
        self._console.print("\n[bold]What became of each message[/]")
        for exhibit in self._exhibits:
            final = exhibit.final or {"outcome": "no end", "reason": "still under way when patience ended"}
            post_id = final.get("stocktwits_id")
            style = "green" if exhibit.as_expected else "bold red"
            outcome = f"{final['outcome'].replace('_', ' ')} by the {self._edge(exhibit)}"
            if final.get("receive_count", 1) > 1:
                outcome += f" at receive {final['receive_count']}"
            self._console.print(
                Text.assemble(
                    ("✓ " if exhibit.as_expected else "✗ ", style),
                    (f"{exhibit.shows}: ", "bold"),
                    _shortened(bodies.get(post_id, exhibit.body)),
                )
            )
            self._console.print(Text.assemble("  ", (outcome, style), f"  {_ending(final)}"))
            if post_id and final["reason"]:
                self._console.print(Text(f"  {final['reason']}", style="dim"))
        self._console.print()

    def _edge(self, exhibit: Exhibit) -> str:
        service = exhibit.final["service"] if exhibit.final else ""
        return {"post_messages": "outbox", "drain_leftovers": "drain"}.get(service, "")

    def _complaints(self) -> Iterator[str]:
        """Compare what the log, StockTwits and Dead letters say with what should have become of each message."""
        bodies = [post.body for post in self._stack.stocktwits.posts]
        for exhibit in self._exhibits:
            if not exhibit.as_expected:
                yield f"{exhibit.shows}: {exhibit.body[:40]!r} was to be {' or '.join(exhibit.ends)}"
        twins = [each.final["outcome"] for each in self._exhibits if "already_posted" in each.ends and each.final]
        if sorted(twins) != ["already_posted", "posted"]:
            yield f"of the two with one key, one was to be posted and one recognised, but they are {twins}"
        for body in {body for body in bodies if bodies.count(body) > 1}:
            yield f"{body!r} stands on StockTwits {bodies.count(body)} times"
        posted = sum(each.final is not None and each.final["outcome"] == "posted" for each in self._exhibits)
        if len(bodies) != posted:
            yield f"StockTwits has {len(bodies)} posts, the relay's log {posted}"
        if not any(self._edge(each) == "drain" for each in self._exhibits):
            yield "the minute drain had nothing to do"
        rejected = [each for each in self._exhibits if "rejected" in each.ends]
        if sorted(self._dead_letters()) != sorted(each.body for each in rejected):
            yield "Dead letters do not hold just what was rejected, with its reason"

    def _dead_letters(self) -> list[str]:
        answer = self._stack.client("sqs").receive_message(
            QueueUrl=self._stack.outputs["DeadLetterQueueUrl"], MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        return [
            each["Body"]
            for each in answer.get("Messages", [])
            if each.get("MessageAttributes", {}).get("RejectReason", {}).get("StringValue")
        ]


def _shortened(body: str, most: int = 60) -> str:
    flat = " ".join(body.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def _ending(final: dict[str, Any]) -> str:
    """Say where a post stands, or why there is none."""
    return f"{final['stocktwits_id']}  {final['url']}" if final.get("stocktwits_id") else str(final["reason"])
