"""StockTwits in memory: the stand-in's rules and faults behind the real client; its stream lags, it may work late."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message as Headers
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import requests
import urllib3
from relay.posting.stocktwits import BLOCKED_SECONDS, READ_SECONDS, _NeverConnected

from local.stand_ins.stocktwits.api import Api, PostRecord, RefusedError, Reply, SeenRequest, Settings
from local.stand_ins.stocktwits.faults import Fault, plan

if TYPE_CHECKING:
    from verification.simulation.network import Network

URL = "http://stocktwits/api/2"
NOT_REACHED = "not-reached"
LATE = "late"
"""A request that StockTwits works on when the client has long given up."""


@dataclass
class Nature:
    """What kind of StockTwits this is.

    Attributes:
        lag: How many seconds a post takes to show on the stream.
        late: Whether a request may be accepted minutes after the client gave up.
        near_identical: Whether a text that differs in its tickers alone counts as a duplicate.
        forgetful: Whether it accepts the same text over and over.
        slowness: How many times as long as usual it takes to answer.
    """

    lag: float = 0.0
    late: bool = False
    near_identical: bool = False
    forgetful: bool = False
    slowness: int = 1


@dataclass
class Request:
    """A request as it left a worker.

    Attributes:
        at: When it left.
        process: Whose it is.
        text: The text to post; None for a look at the stream.
        admitted_at: When the gate let it through.
        probe: Whether it is the one that decides whether the gate opens.
        keep_away_until: What its answer asked for: no more requests before this moment.
        counts: Whether it counts towards the pace: it arrived, and its token was accepted.
    """

    at: float
    process: str
    text: str | None
    admitted_at: float
    probe: bool
    counts: bool = True
    keep_away_until: float = 0.0


class StockTwits(Api):
    """The account, as its API shows it."""

    def __init__(self, network: Network, nature: Nature) -> None:
        self.settings = Settings(
            clock=lambda: network.scheduler.now, near_identical=nature.near_identical, access_token="token-1"
        )
        super().__init__(self.settings)
        self.network = network
        self.nature = nature
        self.requests: list[Request] = []
        self.blocked: set[str] = set()
        """The texts that bot protection answers with a page."""
        self.deadly: set[str] = set()
        """The texts that end the function that sends them."""
        self.ended: Counter[str] = Counter()
        """How many functions each of them ended."""

    def answer(self, seen: SeenRequest) -> Reply:
        if seen.fields.get("body") in self.blocked:
            return plan(Fault.BOT_BLOCK, 1, None, "", {}).reply(seen.at)
        if self.nature.forgetful:
            self.timeline._posted_at.clear()
        try:
            return super().answer(seen)
        except RefusedError as refused:
            return Reply.error(*refused.args)

    def say(self, text: str) -> None:
        """Post something by hand."""
        now = datetime.fromtimestamp(self.network.scheduler.now, UTC)
        self.timeline.add(PostRecord(0, text, "neutral", None, None, now), near_identical=False)

    def _stream(self, seen: SeenRequest, account: str) -> dict[str, Any]:
        everything = self.timeline.posts
        shown = self.network.scheduler.now - self.nature.lag
        self.timeline.posts = [post for post in everything if post.created_at.timestamp() <= shown]
        try:
            return super()._stream(seen, account)
        finally:
            self.timeline.posts = everything


class Adapter:
    """Stands where the client has its connections."""

    def __init__(self, stocktwits: StockTwits, container: Any) -> None:
        self._stocktwits = stocktwits
        self._network = stocktwits.network
        self._container = container

    def close(self) -> None:
        """There is nothing to close."""

    def send(self, request: requests.PreparedRequest, *, stream: bool, timeout: object) -> requests.Response:
        """Send a request, and give its answer; raise what requests raises."""
        del stream, timeout
        network, stocktwits, random = self._network, self._stocktwits, self._network.scheduler.random
        began = network.scheduler.now
        seen = _seen(request, began)
        text = seen.fields.get("body")
        what = f"POST {text}" if text else "GET the stream"
        admission = self._container.admission
        asked = Request(began, self._container.name, text, admission.at, admission.probe)
        stocktwits.requests.append(asked)
        network.calls[f"stocktwits.{'create' if text else 'stream'}"] += 1
        if text in stocktwits.deadly:
            asked.counts = False
            stocktwits.ended[text] += 1
            network.kill(self._container)
        fault = random.choice([*Fault, NOT_REACHED, LATE]) if network.chance(network.weather.stocktwits) else None
        network.travel(random.uniform(0.05, 1.5) * stocktwits.nature.slowness)
        if fault == NOT_REACHED:
            asked.counts = False
            network.tell(f"{what}: not reached")
            raise requests.ConnectionError(_NeverConnected(None, "refused"))  # type: ignore[arg-type]
        if fault == LATE:
            if stocktwits.nature.late:
                network.scheduler.at(began + random.uniform(5, 120), lambda: self._late(seen, what))
            fault = Fault.TIMEOUT_BEFORE
        reply = self._misbehave(Fault(fault), seen, what, asked) if fault else stocktwits.answer(seen)
        network.tell(f"{what}: {reply.status}")
        network.travel(random.uniform(0.02, 0.5))
        asked.counts = reply.status not in {401, 403}
        return _response(reply)

    def _misbehave(self, fault: Fault, seen: SeenRequest, what: str, asked: Request) -> Reply:
        network, random = self._network, self._network.scheduler.random
        details: dict[str, Any] = {}
        if fault is Fault.RATE_LIMITED:
            name, seconds = random.choice(
                [("", 60), ("reset_in_seconds", random.randint(20, 900)), ("retry_after", 120)]
            )
            details = {name: seconds} if name else {}
            asked.keep_away_until = network.scheduler.now + seconds
        if fault is Fault.BOT_BLOCK:
            asked.keep_away_until = network.scheduler.now + BLOCKED_SECONDS
        if fault in {Fault.ERROR_BEFORE, Fault.ERROR_AFTER}:
            details = {"status": random.choice([500, 502, 503, 504])}
        planned = plan(fault, 1, None, "", details)
        if planned.accepts:
            self._stocktwits.answer(seen)
        network.tell(f"{what}: {fault}")
        if fault in {Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER}:
            network.travel(asked.at + READ_SECONDS - network.scheduler.now)
            raise requests.ReadTimeout
        if fault in {Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.CLOSE_AFTER}:
            network.travel(random.uniform(0, 1))
            raise requests.ConnectionError
        return planned.reply(network.scheduler.now)

    def _late(self, seen: SeenRequest, what: str) -> None:
        reply = self._stocktwits.answer(seen)
        self._network.tell(f"{what}: worked on late, {reply.status}", "stocktwits")


def _seen(request: requests.PreparedRequest, at: float) -> SeenRequest:
    assert request.url is not None
    target, headers = urlsplit(request.url), Headers()
    for name, value in request.headers.items():
        headers[name] = value
    fields = dict(parse_qsl(str(request.body or ""), keep_blank_values=True))
    return SeenRequest(str(request.method), target.path, dict(parse_qsl(target.query)), headers, fields, {}, at)


def _response(reply: Reply) -> requests.Response:
    response = requests.Response()
    response.status_code = reply.status
    response.headers.update({"Content-Type": reply.type, **reply.headers})
    response.raw = urllib3.HTTPResponse(io.BytesIO(reply.body), preload_content=False)
    return response
