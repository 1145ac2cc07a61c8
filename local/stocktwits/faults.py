"""How StockTwits fails, and the faults that are planned for the requests to come."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from local.stocktwits.api import Reply

if TYPE_CHECKING:
    from local.stocktwits.api import SeenRequest


class Fault(StrEnum):
    """How StockTwits, or the way to it, fails; "before" and "after" say whether it had accepted the request."""

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


# What a fault can be told beside its name, and what goes without saying.
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

_SPOILT = {
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
    """A fault that waits for the requests it is meant for; `times` of None means for ever."""

    fault: Fault
    times: int | None
    text: str | None
    path: str
    details: dict[str, Any]

    @property
    def accepts(self) -> bool:
        """Whether the request is carried out although its answer is spoilt."""
        return self.fault.endswith("-after") or bool(self.details.get("accepted"))

    def matches(self, seen: SeenRequest) -> bool:
        """Whether this request is one of those it is meant for."""
        meant = f"{seen.resource}/".startswith(f"{self.path}/")
        return meant and (self.text is None or self.text in seen.fields.get("body", ""))

    def reply(self, now: float) -> Reply:
        """The answer to give in place of the genuine one."""
        if "status" in self.details:
            return Reply(self.details["status"], _ERROR_PAGE)
        reset = self.details.get("reset_in_seconds")
        headers = {
            "X-RateLimit-Reset": None if reset is None else math.ceil(now + reset),
            "Retry-After": self.details.get("retry_after"),
            "Location": self.details.get("location"),
        }
        told = {name: str(value) for name, value in headers.items() if value is not None}
        return _SPOILT[self.fault].with_headers(told)


def plan(fault: str, times: int | None, text: str | None, path: str, details: dict[str, Any]) -> PlannedFault:
    """Plan a fault; ValueError when there is none of this name, or it takes no such details."""
    kind = Fault(fault)
    known = _DETAILS.get(kind, {})
    if (times is not None and times < 1) or details.keys() - known.keys():
        message = f"{kind} takes times of 1 or more, or null for ever, and these details: {sorted(known)}"
        raise ValueError(message)
    return PlannedFault(kind, times, text, path.strip("/"), known | details)
