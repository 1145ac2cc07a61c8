"""The ways StockTwits can fail, and what is planned for future requests: faults, and contrary behaviours."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from local.stand_ins.stocktwits.alterations import replacement
from local.stand_ins.stocktwits.api import Reply
from local.stand_ins.stocktwits.contrary import BEHAVIOURS, CREATE, SHOW, STREAM, Contrary, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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

WORDS: Mapping[Fault, str] = {
    Fault.RATE_LIMITED: "a rate limit; `reset_in_seconds` and `retry_after` are its headers",
    Fault.UNAUTHORIZED: "the token is refused",
    Fault.SUSPENDED: "the account is suspended",
    Fault.FORBIDDEN: "the token lacks a permission",
    Fault.BOT_BLOCK: "a bot protection's page",
    Fault.ERROR_BEFORE: "an error, with `status`; nothing was posted",
    Fault.ERROR_AFTER: "an error, with `status`, after the post was made",
    Fault.TIMEOUT_BEFORE: "silence for `seconds`; nothing was posted",
    Fault.TIMEOUT_AFTER: "silence for `seconds`, after the post was made",
    Fault.RESET_BEFORE: "the connection is reset; nothing was posted",
    Fault.RESET_AFTER: "the connection is reset, after the post was made",
    Fault.CLOSE_AFTER: "the connection is closed without an answer, after the post was made",
    Fault.NO_ID: "success without an id, after the post was made unless `accepted` is false",
    Fault.NOT_JSON: "success without JSON, after the post was made unless `accepted` is false",
    Fault.REDIRECT: "a redirect to `location`",
}
"""What each fault does, in plain words."""

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


ONLY = {"reply": "in_reply_to_message_id", "chart": "chart"}
"""A fault may be planned for replies only, or for posts with a chart, with the detail `only`; the field of each."""


@dataclass
class PlannedFault:
    """A fault, or a contrary behaviour, for the next requests that match; `times` of None means for ever.

    A `text` limits it to requests that post a text which contains it; where a behaviour changes how posts are shown, to
    the posts whose text does.
    """

    fault: Fault | Contrary
    times: int | None
    text: str | None
    path: str
    details: dict[str, Any]

    @property
    def kind(self) -> Kind | None:
        """What the behaviour changes; None for a fault."""
        return BEHAVIOURS[self.fault].kind if isinstance(self.fault, Contrary) else None

    @property
    def accepts(self) -> bool:
        """Whether the request is carried out although its response is replaced or lost."""
        return self.fault.endswith("-after") or bool(self.details.get("accepted"))

    @property
    def name(self) -> str:
        """The fault's name, and its status, or what matters most of a behaviour, if it is not the default."""
        main, defaults = _main(self.fault), _details(self.fault)
        if isinstance(self.fault, Fault):
            main = "status"
        value = self.details.get(main)
        if value == defaults.get(main):
            return str(self.fault)
        return f"{self.fault} {value if isinstance(value, str) else json.dumps(value)}"

    def matches(self, seen: SeenRequest) -> bool:
        """Return whether the fault applies to this request."""
        only = self.details.get("only")
        wanted = only is None or ONLY[only] in {**seen.fields, **seen.files}
        shows = self.kind is Kind.MESSAGE and not _within(seen.resource, CREATE)
        meant = self.text is None or shows or self.text in seen.fields.get("body", "")
        return wanted and meant and _within(seen.resource, self.path) and self.concerns(seen.resource)

    def concerns(self, resource: str) -> bool:
        """Return whether there is something in this resource's answers that the behaviour could change."""
        return any(_within(resource, each) for each in _RESOURCES.get(self.kind, [""]))

    def reply(self, now: float) -> Reply:
        """Return the response to send in place of the genuine one."""
        if isinstance(self.fault, Contrary):
            return replacement(self.fault, self.details, now)
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


_RESOURCES: Mapping[Kind | None, Sequence[str]] = {
    Kind.POSTING: [CREATE],
    Kind.MESSAGE: [CREATE, SHOW, STREAM],
    Kind.PAGE: [STREAM],
}


def plan(fault: str, times: int | None, text: str | None, path: str | None, details: Mapping[str, Any]) -> PlannedFault:
    """Plan a fault or a contrary behaviour.

    Args:
        fault: A value of `Fault` or `Contrary`.
        times: How many requests it affects; None for all.
        text: What the text of a post must contain; None for any.
        path: The resource; None for posting, or for the stream if only a stream can show it.
        details: What the fault accepts, and `only` with one of `ONLY`.

    Raises:
        ValueError: The name or a detail is unknown, or the resource's answers have nothing that it could change.
    """
    kind = _fault(fault)
    known = _details(kind)
    if (times is not None and times < 1) or details.keys() - known.keys() - {"only"}:
        message = f"{kind} takes times of 1 or more, or null for ever, and these details: {sorted([*known, 'only'])}"
        raise ValueError(message)
    if details.get("only") not in (None, *ONLY):
        raise ValueError(f"only must be one of {list(ONLY)}")
    planned = PlannedFault(kind, times, text, "", {**known, **details})
    planned.path = (STREAM if planned.kind is Kind.PAGE else CREATE) if path is None else path.strip("/")
    if isinstance(kind, Contrary):
        behaviour = BEHAVIOURS[kind]
        if behaviour.forms and planned.details[behaviour.main] not in behaviour.forms:
            raise ValueError(f"{behaviour.main} of {kind} must be one of {list(behaviour.forms)}")
        if planned.path and not planned.concerns(planned.path):
            raise ValueError(f"{kind} can be planned for these paths: {list(_RESOURCES.get(planned.kind, []))}")
    return planned


def catalogue() -> list[dict[str, Any]]:
    """Return every fault and every contrary behaviour, with its details and what it does in plain words."""
    described: dict[Fault | Contrary, tuple[str, tuple[object, ...]]] = {
        **{each: (words, ()) for each, words in WORDS.items()},
        **{each: (behaviour.words, behaviour.forms) for each, behaviour in BEHAVIOURS.items()},
    }
    return [
        {"fault": str(each), "words": words, "details": dict(_details(each))}
        | ({"main": _main(each), "forms": list(forms)} if forms else {})
        for each, (words, forms) in described.items()
    ]


def _fault(name: str) -> Fault | Contrary:
    try:
        return Fault(name)
    except ValueError:
        pass
    try:
        return Contrary(name)
    except ValueError:
        raise ValueError(f"There is no fault {name!r}; GET /_standin/faults lists them") from None


def _details(fault: Fault | Contrary) -> Mapping[str, Any]:
    return BEHAVIOURS[fault].details if isinstance(fault, Contrary) else _DETAILS.get(fault, {})


def _main(fault: Fault | Contrary) -> str:
    return BEHAVIOURS[fault].main if isinstance(fault, Contrary) else _NUMBERS.get(fault, "")


def _within(resource: str, path: str) -> bool:
    return f"{resource}/".startswith(f"{path}/") if path else True


class RandomFaults:
    """Faults that affect a share of all requests.

    The seed, the resource, the text and how often they were requested decide: the same in every run, in whatever order
    the requests arrive.
    """

    def __init__(self, seed: int, shares: Mapping[str, float]) -> None:
        """Let each fault affect its share of the requests; all shares together are at most 1.

        A contrary behaviour affects its share of the requests whose answers it can change.

        Args:
            seed: Decides, together with each request.
            shares: The share of each fault by its name. A number may follow: a status, as in `5xx-before 503`, the
                seconds until the reset of a `429`, or those of a time-out; or the main detail of a contrary behaviour,
                as in `created-at zone`.

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
        drawn = next((fault for fault, end in zip(self._faults, self._shares, strict=True) if chance < end), None)
        return drawn if drawn and drawn.concerns(seen.resource) else None


_NUMBERS = {
    Fault.RATE_LIMITED: "reset_in_seconds",
    Fault.ERROR_BEFORE: "status",
    Fault.ERROR_AFTER: "status",
    Fault.TIMEOUT_BEFORE: "seconds",
    Fault.TIMEOUT_AFTER: "seconds",
}


def _named(name: str) -> PlannedFault:
    fault, _, value = name.partition(" ")
    if not value:
        return plan(fault, None, None, "", {})
    kind = _fault(fault)
    if isinstance(kind, Fault):
        return plan(fault, None, None, "", {_NUMBERS.get(kind, value): int(value)})
    behaviour = BEHAVIOURS[kind]
    return plan(fault, None, None, "", {behaviour.main or value: value if value in behaviour.forms else _value(value)})


def _value(text: str) -> object:
    """Read the main detail of a behaviour: a number or `null` in JSON, or else a word."""
    try:
        return json.loads(text)
    except ValueError:
        return text
