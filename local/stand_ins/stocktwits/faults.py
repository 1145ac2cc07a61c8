"""The ways StockTwits can fail, and faults planned for future requests."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from local.stand_ins.stocktwits.api import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.stand_ins.stocktwits.api import SeenRequest


class Fault(StrEnum):
    """How StockTwits or the network fails, "before" or "after" the request was accepted."""

    RATE_LIMITED = "429"
    UNAUTHORIZED = "401"
    SUSPENDED = "suspended"
    FORBIDDEN = "403-json"
    BOT_BLOCK = "403-html"
    ERROR_BEFORE = "5xx-before"
    ERROR_AFTER = "5xx-after"
    TIMEOUT_BEFORE = "timeout-before"
    TIMEOUT_AFTER = "timeout-after"
    RESET_BEFORE = "reset-before"
    RESET_AFTER = "reset-after"
    CLOSE_AFTER = "close-after"
    NO_ID = "no-id"
    NOT_JSON = "not-json"
    REDIRECT = "redirect"


# The details that a fault accepts, with their defaults.
_DETAILS: dict[Fault, dict[str, Any]] = {
    Fault.RATE_LIMITED: {"reset_in_seconds": None, "retry_after": None},
    Fault.ERROR_BEFORE: {"status": 500},
    Fault.ERROR_AFTER: {"status": 500},
    Fault.TIMEOUT_BEFORE: {"seconds": 30.0},
    Fault.TIMEOUT_AFTER: {"seconds": 30.0},
    Fault.NO_ID: {"accepted": True},
    Fault.NOT_JSON: {"accepted": True},
    Fault.REDIRECT: {"location": "/"},
}

_REPLIES = {
    Fault.RATE_LIMITED: Reply.rate_limited(400),
    Fault.UNAUTHORIZED: Reply.error(401, "Authentication required"),
    Fault.SUSPENDED: Reply.error(401, "Account suspended"),
    Fault.FORBIDDEN: Reply.error(403, "The access token lacks the scope publish_messages"),
    Fault.BOT_BLOCK: Reply(
        403,
        b"<!DOCTYPE html><title>Just a moment...</title><h1>Enable JavaScript and cookies to continue</h1>",
        headers={"cf-mitigated": "challenge"},
    ),
    Fault.NO_ID: Reply.json({"response": {"status": 200}, "message": {"body": ""}}),
    Fault.NOT_JSON: Reply(200, b"OK", "text/plain; charset=utf-8"),
    Fault.REDIRECT: Reply(302, b""),
}
_ERROR_PAGE = b"<!DOCTYPE html><title>StockTwits</title><h1>We're sorry, but something went wrong</h1>"


@dataclass
class PlannedFault:
    """A fault for the next requests that match; `times` of None means for ever."""

    fault: Fault
    times: int | None
    text: str | None
    path: str
    details: dict[str, Any]

    @property
    def accepts(self) -> bool:
        """Whether the request is carried out although its response is replaced or lost."""
        return self.fault.endswith("-after") or bool(self.details.get("accepted"))

    @property
    def name(self) -> str:
        """The fault's name, and its status if it is not the default."""
        status = self.details.get("status")
        return self.fault if status == _DETAILS.get(self.fault, {}).get("status") else f"{self.fault} {status}"

    def matches(self, seen: SeenRequest) -> bool:
        """Return whether the fault applies to this request."""
        meant = f"{seen.resource}/".startswith(f"{self.path}/")
        return meant and (self.text is None or self.text in seen.fields.get("body", ""))

    def reply(self, now: float) -> Reply:
        """Return the response to send in place of the genuine one."""
        if "status" in self.details:
            return Reply(self.details["status"], _ERROR_PAGE)
        reset = self.details.get("reset_in_seconds")
        headers = {
            "X-RateLimit-Reset": None if reset is None else math.ceil(now + reset),
            "Retry-After": self.details.get("retry_after"),
            "Location": self.details.get("location"),
        }
        given = {name: str(value) for name, value in headers.items() if value is not None}
        return _REPLIES[self.fault].with_headers(given)


def plan(fault: str, times: int | None, text: str | None, path: str, details: dict[str, Any]) -> PlannedFault:
    """Plan a fault; ValueError for an unknown name or unknown details."""
    kind = Fault(fault)
    known = _DETAILS.get(kind, {})
    if (times is not None and times < 1) or details.keys() - known.keys():
        message = f"{kind} takes times of 1 or more, or null for ever, and these details: {sorted(known)}"
        raise ValueError(message)
    return PlannedFault(kind, times, text, path.strip("/"), known | details)


class RandomFaults:
    """Faults that affect a share of all requests.

    The seed, the resource, the text and how often they were requested decide: the same in every run, in whatever order
    the requests arrive.
    """

    def __init__(self, seed: int, shares: Mapping[str, float]) -> None:
        """Let each fault affect its share of the requests; all shares together are at most 1.

        Args:
            seed: Decides, together with each request.
            shares: The share of each fault by its name. A number may follow: a status, as in `5xx-before 503`, the
                seconds until the reset of a `429`, or those of a time-out.

        Raises:
            ValueError: A fault is unknown.
        """
        self._seed = seed
        self._faults = [_named(name) for name in shares]
        self._shares = list(accumulate(shares.values()))
        self._counts: Counter[tuple[str, str]] = Counter()

    def draw(self, seen: SeenRequest) -> PlannedFault | None:
        """Return the fault that affects this request, if any."""
        asked = seen.resource, seen.fields.get("body", "")
        self._counts[asked] += 1
        chance = random.Random(f"{self._seed} {asked} {self._counts[asked]}").random()
        return next((fault for fault, end in zip(self._faults, self._shares, strict=True) if chance < end), None)


_NUMBERS = {
    Fault.RATE_LIMITED: "reset_in_seconds",
    Fault.ERROR_BEFORE: "status",
    Fault.ERROR_AFTER: "status",
    Fault.TIMEOUT_BEFORE: "seconds",
    Fault.TIMEOUT_AFTER: "seconds",
}


def _named(name: str) -> PlannedFault:
    fault, _, number = name.partition(" ")
    return plan(fault, None, None, "", {_NUMBERS.get(Fault(fault), number): int(number)} if number else {})
