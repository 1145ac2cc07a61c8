"""StockTwits in memory: the stand-in's rules, faults and contrary behaviours behind the real client."""

from __future__ import annotations

import io
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from email.message import Message as Headers
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import requests
import urllib3
from relay.posting.stocktwits import BLOCKED_SECONDS, RATE_LIMIT_SECONDS, READ_SECONDS, _NeverConnected

from local.stand_ins.stocktwits.api import DUPLICATE, DUPLICATE_SECONDS, RefusedError, Reply, SeenRequest, Settings
from local.stand_ins.stocktwits.contrary import CREATE, Contrary, Kind
from local.stand_ins.stocktwits.contrary_api import ContraryApi
from local.stand_ins.stocktwits.faults import Fault, PlannedFault, plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.stand_ins.stocktwits.api import PostRecord
    from verification.simulation.network import Network

URL = "http://stocktwits/api/2"
NOT_REACHED = "not-reached"
LATE = "late"
"""A request that StockTwits accepts minutes after the client gave up."""


HIDES = frozenset({Contrary.STREAM_EMPTY, Contrary.SHORT, Contrary.ID_OF_ANOTHER})
"""These hide a post that was made long ago. Where StockTwits takes the same text again by then, no client could know
better than to post again, so they occur only where it remembers texts for weeks."""

READABLE = frozenset({"seconds", "epoch", "milliseconds", "http-date", "decimal-seconds", "decimal-epoch"})
"""The forms of a rate limit's header that name its end."""

DENIES = frozenset({401, 422, 429})
"""A post that was made is not denied by an answer with such a status: no client could know better than to believe it,
and would send the post again, or leave it in Dead letters as refused."""


LINKS_LATE_SECONDS = 5.0
"""How long after a post its links are shown on some days: in recorded answers they were made 3 s after the message."""


class Links(StrEnum):
    """What the list of a post's links shows; all of this was seen in recorded answers from 2016 to 2020."""

    SHOWN = "shown"
    """The links as they were sent, from the start."""
    LATE = "late"
    """Nothing at first, then the links as they were sent."""
    SHORT = "short"
    """Shortened links, which hide where they lead."""
    EMPTY = "empty"
    """Nothing."""
    MISSING = "missing"
    """There is no such list."""


@dataclass
class Nature:
    """How StockTwits behaves on a day.

    Attributes:
        lag: After how many seconds a post is on the stream.
        late: Whether a request may be accepted minutes after the client gave up.
        near_identical: Whether texts that differ only in cashtags are duplicates.
        forgetful: Whether it accepts duplicates.
        remembers: For how many seconds it refuses a repeated text, unless it is forgetful.
        slowness: The factor by which answers take longer.
        links: What the list of a post's links shows.
        contrary: The seed of what it does that it does not document; None if it behaves as documented.
        share: The share of requests, of posts and of habits that are contrary.
        behaviours: What it does then; see `Contrary`.
    """

    lag: float = 0.0
    late: bool = False
    near_identical: bool = False
    forgetful: bool = False
    remembers: float = DUPLICATE_SECONDS
    slowness: int = 1
    links: Links = Links.MISSING
    contrary: int | None = None
    share: float = 0.0
    behaviours: tuple[Contrary, ...] = ()


@dataclass
class Request:
    """A request by a worker.

    Attributes:
        at: When it started.
        process: The worker.
        text: The text to post; None for a request for the stream.
        admitted_at: When the gate admitted it.
        probe: Whether it is the probe that decides whether the gate opens.
        answered_at: When its answer was there; never if none came.
        keep_away_until: Until when its answer sent for no more requests.
        counts: Whether it counts towards the pace: it was received, and its token accepted.
        taken: Whether its answer named the post that it made.
        duplicate: Whether its answer refused it as a duplicate.
    """

    at: float
    process: str
    text: str | None
    admitted_at: float
    probe: bool
    counts: bool = True
    answered_at: float = math.inf
    keep_away_until: float = 0.0
    taken: bool = False
    duplicate: bool = False


class StockTwits(ContraryApi):
    """The API of StockTwits, for one account."""

    def __init__(self, network: Network, nature: Nature, owned: Callable[[], list[int]]) -> None:
        """Prepare an account without posts; `owned` gives the ids of the posts that the ledger knows."""
        self.settings = Settings(
            clock=lambda: network.scheduler.now,
            near_identical=nature.near_identical,
            access_token="token-1",
            duplicate_seconds=0.0 if nature.forgetful else nature.remembers,
            stream_lag_seconds=nature.lag,
            contrary=nature.contrary,
            contrary_share=nature.share,
            contrary_behaviours=nature.behaviours,
        )
        super().__init__(self.settings)
        self.network = network
        self.nature = nature
        self.calm = False
        """Whether it is contrary by habit only, and to the texts that it refuses for ever."""
        self.requests: list[Request] = []
        self.poisoned: dict[str, PlannedFault] = {}
        """The texts that it refuses for ever, and how."""
        self.lost: dict[str, Fault] = {}
        """The texts whose first answer is lost, and how."""
        self.deadly: set[str] = set()
        """The texts that kill the function that sends them."""
        self.ended: Counter[str] = Counter()
        """How many functions each of them has killed."""
        self._owned = owned

    def answer(self, seen: SeenRequest, *behaviours: PlannedFault) -> Reply:
        try:
            return super().answer(seen, *behaviours)
        except RefusedError as refused:
            return Reply.error(*refused.args)

    def draw(self, seen: SeenRequest) -> list[PlannedFault]:
        poison = self.poisoned.get(seen.fields.get("body", ""))
        if poison and seen.resource == CREATE:
            return [poison]
        if not self.calm:
            return [each for each in super().draw(seen) if self._is_fair(each)]
        mode = self._contrary()
        habits = mode._habits if mode else []
        return [each for each in habits if each.kind is not Kind.MESSAGE and each.matches(seen)]

    def _is_fair(self, drawn: PlannedFault) -> bool:
        """Return whether a client can avoid a second post, and a wrong refusal."""
        if drawn.fault is Contrary.DUPLICATE and drawn.accepts:
            return False
        return not (drawn.accepts and drawn.details.get("status") in DENIES)

    def _message(self, post: PostRecord) -> dict[str, Any]:
        return super()._message(replace(post, alterations=(partial(self._with_links, post), *post.alterations)))

    def _with_links(self, post: PostRecord, message: dict[str, Any]) -> dict[str, Any]:
        """Show a post with the list of its links as it is on this day."""
        form = self.nature.links
        age = self.settings.clock() - post.created_at.timestamp()
        if "links" not in message or form is Links.SHOWN or (form is Links.LATE and age >= LINKS_LATE_SECONDS):
            return message
        if form is Links.MISSING:
            return {name: value for name, value in message.items() if name != "links"}
        short = [each | {"url": each["shortened_url"]} for each in message["links"]]
        return {**message, "links": short if form is Links.SHORT else []}

    def _altered(self, kind: Contrary, details: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
        """Alter a post; an answer with another's id is noticed only if it is known whose that is."""
        if kind is Contrary.ID_OF_ANOTHER:
            others = [each for each in self._owned() if each != message.get("id")]
            return {**message, "id": others[-1]} if others else message
        return super()._altered(kind, details, message)


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
        if text in stocktwits.poisoned:
            fault = None
        if text in stocktwits.lost:
            fault = stocktwits.lost.pop(text)
        network.travel(random.uniform(0.05, 1.5) * stocktwits.nature.slowness)
        if fault == NOT_REACHED:
            sent.counts = False
            network.log(f"{what}: not reached")
            raise requests.ConnectionError(_NeverConnected(None, "refused"))  # type: ignore[arg-type]
        behaviours = stocktwits.draw(seen) if fault is None else []
        silent = next((each for each in behaviours if each.fault is Contrary.LATE), None)
        if silent:
            network.scheduler.at(began + silent.details["seconds"], lambda: self._late(seen, what))
            fault = Fault.TIMEOUT_BEFORE
        if fault == LATE:
            if stocktwits.nature.late:
                network.scheduler.at(began + random.uniform(5, 120), lambda: self._late(seen, what))
            fault = Fault.TIMEOUT_BEFORE
        reply = self._misbehave(Fault(fault), seen, what, sent) if fault else stocktwits.answer(seen, *behaviours)
        answers = [each for each in behaviours if each.kind is Kind.ANSWER][:1]
        network.log(f"{what}: {' '.join([str(reply.status), *(each.name for each in behaviours)])}")
        network.travel(random.uniform(0.02, 0.5))
        status, post_id = _meaning(reply)
        sent.keep_away_until = max(
            [sent.keep_away_until, *(_keep_away(each, network.scheduler.now) for each in answers)]
        )
        sent.answered_at = network.scheduler.now
        sent.duplicate = status == HTTPStatus.UNPROCESSABLE_ENTITY and DUPLICATE.encode() in reply.body
        sent.counts, sent.taken = status not in {401, 403}, post_id not in {None, *stocktwits._owned()}
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


def _keep_away(behaviour: PlannedFault, now: float) -> float:
    """Return until when an answer sends for no more requests, if it says so in a form that can be read."""
    details = behaviour.details
    if behaviour.fault is Contrary.RATE_LIMIT and details["form"] in READABLE:
        return float(now + details["seconds"]) - 1  # some forms are of whole seconds
    limited = behaviour.fault is Contrary.INNER_STATUS and details["status"] == HTTPStatus.TOO_MANY_REQUESTS
    return now + RATE_LIMIT_SECONDS if limited else 0.0


def _meaning(reply: Reply) -> tuple[int, int | None]:
    """Return the status that an answer means, which may be inside it, and the post that it names."""
    try:
        content = json.loads(reply.body)
        inner, message = content.get("response", {}), content.get("message", {})
        status = int(inner.get("status", reply.status)) if reply.status == HTTPStatus.OK else reply.status
        post_id = str(message.get("id"))
        return status, int(post_id) if re.fullmatch(r"\d{9}", post_id) else None
    except (ValueError, AttributeError):
        return reply.status, None


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
