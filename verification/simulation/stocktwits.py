"""StockTwits in memory: the stand-in's rules and faults behind the real client, with a lag and late requests."""

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
"""A request that StockTwits accepts minutes after the client gave up."""


@dataclass
class Nature:
    """How StockTwits behaves on a day.

    Attributes:
        lag: After how many seconds a post is on the stream.
        late: Whether a request may be accepted minutes after the client gave up.
        near_identical: Whether texts that differ only in cashtags are duplicates.
        forgetful: Whether it accepts duplicates.
        slowness: The factor by which answers take longer.
    """

    lag: float = 0.0
    late: bool = False
    near_identical: bool = False
    forgetful: bool = False
    slowness: int = 1


@dataclass
class Request:
    """A request by a worker.

    Attributes:
        at: When it started.
        process: The worker.
        text: The text to post; None for a request for the stream.
        admitted_at: When the gate admitted it.
        probe: Whether it is the probe that decides whether the gate opens.
        keep_away_until: Until when its answer sent for no more requests.
        counts: Whether it counts towards the pace: it was received, and its token accepted.
    """

    at: float
    process: str
    text: str | None
    admitted_at: float
    probe: bool
    counts: bool = True
    keep_away_until: float = 0.0


class StockTwits(Api):
    """The API of StockTwits, for one account."""

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
        """The texts that kill the function that sends them."""
        self.ended: Counter[str] = Counter()
        """How many functions each of them has killed."""

    def answer(self, seen: SeenRequest) -> Reply:
        if seen.fields.get("body") in self.blocked:
            return plan(Fault.BOT_BLOCK, 1, None, "", {}).reply(seen.at)
        if self.nature.forgetful:
            self.timeline._posted_at.clear()
        try:
            return super().answer(seen)
        except RefusedError as refused:
            return Reply.error(*refused.args)

    def post_by_hand(self, text: str) -> None:
        """Post a text by hand."""
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
    """Replaces the HTTP adapter of the client."""

    def __init__(self, stocktwits: StockTwits, worker: Any) -> None:
        self._stocktwits = stocktwits
        self._network = stocktwits.network
        self._worker = worker

    def close(self) -> None:
        """Do nothing."""

    def send(self, request: requests.PreparedRequest, *, stream: bool, timeout: object) -> requests.Response:
        """Send a request, and return its response; raise what requests raises."""
        del stream, timeout
        network, stocktwits, random = self._network, self._stocktwits, self._network.scheduler.random
        began = network.scheduler.now
        seen = _seen(request, began)
        text = seen.fields.get("body")
        what = f"POST {text}" if text else "GET the stream"
        admission = self._worker.admission
        sent = Request(began, self._worker.name, text, admission.at, admission.probe)
        stocktwits.requests.append(sent)
        network.calls[f"stocktwits.{'create' if text else 'stream'}"] += 1
        if text in stocktwits.deadly:
            sent.counts = False
            stocktwits.ended[text] += 1
            network.kill(self._worker)
        fault = random.choice([*Fault, NOT_REACHED, LATE]) if network.chance(network.weather.stocktwits) else None
        network.travel(random.uniform(0.05, 1.5) * stocktwits.nature.slowness)
        if fault == NOT_REACHED:
            sent.counts = False
            network.log(f"{what}: not reached")
            raise requests.ConnectionError(_NeverConnected(None, "refused"))  # type: ignore[arg-type]
        if fault == LATE:
            if stocktwits.nature.late:
                network.scheduler.at(began + random.uniform(5, 120), lambda: self._late(seen, what))
            fault = Fault.TIMEOUT_BEFORE
        reply = self._misbehave(Fault(fault), seen, what, sent) if fault else stocktwits.answer(seen)
        network.log(f"{what}: {reply.status}")
        network.travel(random.uniform(0.02, 0.5))
        sent.counts = reply.status not in {401, 403}
        return _response(reply)

    def _misbehave(self, fault: Fault, seen: SeenRequest, what: str, sent: Request) -> Reply:
        network, random = self._network, self._network.scheduler.random
        details: dict[str, Any] = {}
        if fault is Fault.RATE_LIMITED:
            name, seconds = random.choice(
                [("", 60), ("reset_in_seconds", random.randint(20, 900)), ("retry_after", 120)]
            )
            details = {name: seconds} if name else {}
            sent.keep_away_until = network.scheduler.now + seconds
        if fault is Fault.BOT_BLOCK:
            sent.keep_away_until = network.scheduler.now + BLOCKED_SECONDS
        if fault in {Fault.ERROR_BEFORE, Fault.ERROR_AFTER}:
            details = {"status": random.choice([500, 502, 503, 504])}
        planned = plan(fault, 1, None, "", details)
        if planned.accepts:
            self._stocktwits.answer(seen)
        network.log(f"{what}: {fault}")
        if fault in {Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER}:
            network.travel(sent.at + READ_SECONDS - network.scheduler.now)
            raise requests.ReadTimeout
        if fault in {Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.CLOSE_AFTER}:
            network.travel(random.uniform(0, 1))
            raise requests.ConnectionError
        return planned.reply(network.scheduler.now)

    def _late(self, seen: SeenRequest, what: str) -> None:
        reply = self._stocktwits.answer(seen)
        self._network.log(f"{what}: worked on late, {reply.status}", "stocktwits")


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
