"""What StockTwits may do that its documentation does not say: each behaviour by its name, and how it changes an answer.

Some were reported about StockTwits, others about platforms like it. Nothing here opens a connection.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from local.stand_ins.stocktwits.api import Reply, iso_utc
from local.stand_ins.stocktwits.rendering import Rendering

CREATE, STREAM, SHOW = "messages/create", "streams/user", "messages/show"
ODD_IDS: tuple[object, ...] = (None, 0, -1, 1.5, "abc", "", True, 10**30)
"""What may stand where a message's id is expected."""

Details = Mapping[str, Any]


class Contrary(StrEnum):
    """A behaviour that can be planned for certain requests, as a `Fault` can, or is drawn by the contrary mode."""

    PAGE = "page"
    EMPTY = "empty"
    OTHER_JSON = "other-json"
    ERROR = "error"
    PROBLEM = "problem"
    INNER_STATUS = "inner-status"
    RATE_LIMIT = "429-form"
    DUPLICATE = "duplicate"
    PARENT_HIDDEN = "parent-hidden"
    DUPLICATE_ACCEPTED = "duplicate-accepted"
    LATE = "late"
    LAG = "lag"
    FOREIGN_POST = "foreign-post"
    RENDERED = "rendered"
    ID_TEXT = "id-text"
    ID_MISSING = "id-missing"
    ID_ODD = "id-odd"
    ID_OF_ANOTHER = "id-of-another"
    CREATED_AT = "created-at"
    CHART_MISSING = "chart-missing"
    SENTIMENT = "sentiment"
    MAX_IGNORED = "max-ignored"
    SHUFFLED = "shuffled"
    PINNED = "pinned"
    SHORT = "short"
    CURSOR = "cursor"
    NOT_OBJECTS = "not-objects"
    STREAM_EMPTY = "stream-empty"
    MESSAGES = "messages"


class Kind(StrEnum):
    """What a behaviour changes."""

    ANSWER = "the answer to a request"
    POSTING = "how a request to post is carried out"
    MESSAGE = "how a post is shown"
    PAGE = "a page of the stream"


@dataclass(frozen=True)
class Behaviour:
    """A behaviour's description.

    Attributes:
        kind: What it changes.
        words: What it does, in plain words.
        details: The details that it accepts, with their defaults.
        main: The detail that is given after the name where shares are given by name, as in `page 404`.
        forms: The values that the main detail may have, if not every value makes sense.
        draws: The details that the contrary mode draws from.
    """

    kind: Kind
    words: str
    details: Details = field(default_factory=dict)
    main: str = ""
    forms: tuple[object, ...] = ()
    draws: tuple[Details, ...] = ({},)

    def __post_init__(self) -> None:
        """Draw from every form, unless the draws are given."""
        if self.forms and self.draws == ({},):
            object.__setattr__(self, "draws", tuple({self.main: form} for form in self.forms))


_OF_A_POST = {"everywhere": True}
_REFUSED = {"accepted": False}

BEHAVIOURS: Mapping[Contrary, Behaviour] = MappingProxyType(
    {
        Contrary.PAGE: Behaviour(
            Kind.ANSWER,
            "a page instead of JSON, with `status`; `by` is `server` or `cloudflare`; `accepted`: after the post was made",
            {"status": 404, "by": "server", **_REFUSED},
            "status",
            draws=(
                *({"status": each} for each in (400, 404, 413, 418, 422, 401, 402, 405, 406, 409, 410, 451)),
                *({"status": each, "by": "cloudflare"} for each in (403, 429, 503, *range(520, 528), 530)),
                *({"status": 200, "accepted": each} for each in (True, False)),
            ),
        ),
        Contrary.EMPTY: Behaviour(
            Kind.ANSWER,
            "an answer without a body, with `status`; `accepted`: after the post was made",
            {"status": 404, **_REFUSED},
            "status",
            draws=(
                *({"status": each} for each in (400, 403, 404, 413, 418, 422)),
                *({"status": 200, "accepted": each} for each in (True, False)),
            ),
        ),
        Contrary.OTHER_JSON: Behaviour(
            Kind.ANSWER,
            "JSON of another shape, with `status`; `accepted`: after the post was made",
            {"form": "error", "status": 404, **_REFUSED},
            "form",
            ("error", "message", "errors-text", "errors-empty", "errors-null", "list", "text", "number", "null"),
            draws=(
                *({"form": form, "status": each} for form in ("error", "message") for each in (400, 404, 418, 422)),
                *({"form": form, "status": 400} for form in ("errors-text", "errors-empty", "list", "null")),
                *(
                    {"form": form, "status": 200, "accepted": each}
                    for form in ("list", "text", "message")
                    for each in (True, False)
                ),
            ),
        ),
        Contrary.ERROR: Behaviour(
            Kind.ANSWER,
            "an error in StockTwits' format, with `status` and `message`",
            {"status": 403, "message": "You cannot reply to this message", **_REFUSED},
            "status",
            draws=(
                {},
                {"status": 401, "message": "You may not post this message"},
                *(
                    {"status": each, "message": "Something about this request"}
                    for each in (402, 405, 406, 409, 410, 451)
                ),
            ),
        ),
        Contrary.PROBLEM: Behaviour(
            Kind.ANSWER,
            "bot protection in JSON: Cloudflare's problem details with `status` and its error `code`",
            {"code": 1020, "status": 403, "type": "application/problem+json", **_REFUSED},
            "code",
            draws=(
                {},
                {"type": "application/json"},
                {"code": 1010},
                {"code": 1006},
                {"code": 1015, "status": 429},
                {"code": 1200, "status": 503},
            ),
        ),
        Contrary.INNER_STATUS: Behaviour(
            Kind.ANSWER,
            "200 whose body has another `status`, as digits with `as_text`; `accepted`: after the post was made",
            {"status": 422, "as_text": False, "message": None, **_REFUSED},
            "status",
            draws=tuple(
                {"status": each, "as_text": as_text, "accepted": accepted}
                for each in (401, 422, 429, 500)
                for as_text in (False, True)
                for accepted in (False, True)
            ),
        ),
        Contrary.RATE_LIMIT: Behaviour(
            Kind.ANSWER,
            "429 with a `header` (`X-RateLimit-Reset` or `Retry-After`) in another form, `seconds` from now",
            {"form": "milliseconds", "header": "X-RateLimit-Reset", "seconds": 300},
            "form",
            (
                *("seconds", "epoch", "milliseconds", "http-date", "iso-date", "decimal-seconds", "decimal-epoch"),
                *("past", "days", "days-epoch", "zero", "negative", "empty", "nonsense"),
            ),
        ),
        Contrary.DUPLICATE: Behaviour(
            Kind.ANSWER,
            "422 as for a duplicate, although nothing alike was posted; `accepted`: after this very post was made",
            _REFUSED,
            draws=({}, {"accepted": True}),
        ),
        Contrary.PARENT_HIDDEN: Behaviour(
            Kind.ANSWER,
            "the error for a reply to a post that is not visible yet, with `status` 404 or 422",
            {"status": 404, **_REFUSED},
            "status",
            (404, 422),
        ),
        Contrary.DUPLICATE_ACCEPTED: Behaviour(Kind.POSTING, "the text is posted although it is a duplicate"),
        Contrary.LATE: Behaviour(
            Kind.POSTING,
            "silence; the post is made after `seconds`, when the client may have given up",
            {"seconds": 30.0},
            "seconds",
            draws=({"seconds": 12.0}, {"seconds": 40.0}),
        ),
        Contrary.LAG: Behaviour(
            Kind.POSTING,
            "the post is on the stream only after `seconds`",
            {"seconds": 120.0},
            "seconds",
            draws=({"seconds": 20.0}, {"seconds": 120.0}, {"seconds": 400.0}),
        ),
        Contrary.FOREIGN_POST: Behaviour(
            Kind.POSTING,
            "somebody else posts `body` on the account, just before or after; `source` is how",
            {"body": None, "when": "after", "source": "StockTwits Web"},
            "when",
            ("before", "after"),
            draws=({"when": "before"}, {"when": "after"}, {"when": "after", "source": "Another tool"}),
        ),
        Contrary.RENDERED: Behaviour(
            Kind.MESSAGE,
            "the text is altered; `rendering` is how",
            {"rendering": Rendering.LINKIFIED.value, **_OF_A_POST},
            "rendering",
            tuple(each.value for each in Rendering),
        ),
        Contrary.ID_TEXT: Behaviour(Kind.MESSAGE, "the id is a string of digits", {"everywhere": False}),
        Contrary.ID_MISSING: Behaviour(Kind.MESSAGE, "there is no id", {"everywhere": False}),
        Contrary.ID_ODD: Behaviour(
            Kind.MESSAGE,
            "the id is `value`",
            {"value": 0, "everywhere": False},
            "value",
            draws=tuple({"value": each} for each in ODD_IDS),
        ),
        Contrary.ID_OF_ANOTHER: Behaviour(Kind.MESSAGE, "the id is that of another post", {"everywhere": False}),
        Contrary.CREATED_AT: Behaviour(
            Kind.MESSAGE,
            "the time of the post in another form, wrong or not there",
            {"form": "missing", **_OF_A_POST},
            "form",
            ("missing", "null", "empty", "word", "zone", "fraction", "space", "http-date", "epoch"),
        ),
        Contrary.CHART_MISSING: Behaviour(Kind.MESSAGE, "the chart is not shown", _OF_A_POST),
        Contrary.SENTIMENT: Behaviour(
            Kind.MESSAGE,
            "the sentiment is not shown, or another one is",
            {"form": "missing", **_OF_A_POST},
            "form",
            ("missing", "other", "no-entities"),
        ),
        Contrary.MAX_IGNORED: Behaviour(Kind.PAGE, "`max` is ignored, so each page repeats the first"),
        Contrary.SHUFFLED: Behaviour(Kind.PAGE, "the posts of a page are in no order"),
        Contrary.PINNED: Behaviour(
            Kind.PAGE,
            "the `count` oldest posts come first, on each page or, with `every` false, on the first",
            {"count": 1, "every": True},
            "count",
            draws=tuple({"count": count, "every": every} for count in (1, 3) for every in (True, False)),
        ),
        Contrary.SHORT: Behaviour(
            Kind.PAGE,
            "a page shows half of its posts: `end` leaves the rest to the next page, `middle` shows them on none",
            {"where": "end"},
            "where",
            ("end", "middle"),
        ),
        Contrary.CURSOR: Behaviour(
            Kind.PAGE,
            "the cursor is not there, or wrong",
            {"form": "missing"},
            "form",
            ("missing", "null", "text", "empty", "no-more", "more", "digits", "swapped", "stuck"),
        ),
        Contrary.NOT_OBJECTS: Behaviour(Kind.PAGE, "some messages are not objects"),
        Contrary.STREAM_EMPTY: Behaviour(Kind.PAGE, "the stream is empty, although there are posts"),
        Contrary.MESSAGES: Behaviour(
            Kind.PAGE, "there are no `messages`", {"form": "missing"}, "form", ("missing", "null", "object", "text")
        ),
    }
)

_TITLES = {
    1006: "Access denied: Your IP address has been banned",
    1010: "The owner of this website has banned your access based on your browser's signature",
    1015: "You are being rate limited",
    1020: "Access denied",
    1200: "Cache connection limit",
}
_PROBLEM_TYPE = "https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/"
_DUPLICATE = "Duplicate messages within 30 minutes will not be posted."
_INNER_MESSAGES = {
    401: "Authentication required",
    403: "The access token lacks the scope publish_messages",
    404: "Message not found",
    422: _DUPLICATE,
    429: "Rate limit exceeded. Client may not make more than 400 requests an hour.",
}
_OTHER_JSON: dict[str, object] = {
    "error": {"error": "Not found"},
    "message": {"message": "Not found"},
    "errors-text": {"errors": "Not found"},
    "errors-empty": {"errors": []},
    "errors-null": {"response": {"status": 404}, "errors": None},
    "list": [],
    "text": "Not found",
    "number": 404,
    "null": None,
}
_SERVER_PAGE = b"<!DOCTYPE html><title>StockTwits</title><h1>This page is not what you are looking for</h1>"
_CLOUDFLARE_PAGE = (
    b"<!DOCTYPE html><title>stocktwits.com | Cloudflare</title><h1>Please try again in a few minutes</h1>"
)


def replacement(kind: Contrary, details: Details, now: float) -> Reply:
    """Return the answer that a behaviour of `Kind.ANSWER` gives in place of the genuine one."""
    status = int(details.get("status") or 0)
    match kind:
        case Contrary.PAGE if details["by"] == "cloudflare":
            return Reply(status, _CLOUDFLARE_PAGE, headers={"Server": "cloudflare", "CF-RAY": "8f0c4a2b1d3e5f60-FRA"})
        case Contrary.PAGE:
            return Reply(status, _SERVER_PAGE)
        case Contrary.EMPTY:
            return Reply(status, b"")
        case Contrary.OTHER_JSON:
            return Reply.json(_OTHER_JSON[details["form"]], status)
        case Contrary.ERROR:
            return Reply.error(status, details["message"])
        case Contrary.PROBLEM:
            return _problem(status, details["code"], details["type"])
        case Contrary.INNER_STATUS:
            inner = str(status) if details["as_text"] else status
            message = details["message"] or _INNER_MESSAGES.get(status, "Something went wrong")
            return Reply.json({"response": {"status": inner}, "errors": [{"message": message}]})
        case Contrary.RATE_LIMIT:
            value = _moment(details["form"], now, details["seconds"])
            return Reply.rate_limited(400).with_headers({details["header"]: value})
        case Contrary.PARENT_HIDDEN:
            return Reply.error(status, "The message that you reply to was not found")
        case _:
            return Reply.error(422, _DUPLICATE)


def altered_message(kind: Contrary, details: Details, message: dict[str, Any], another: int) -> dict[str, Any]:
    """Return how a behaviour of `Kind.MESSAGE` shows a post; `another` is the id of another post."""
    match kind:
        case Contrary.ID_TEXT:
            return {**message, "id": str(message.get("id"))}
        case Contrary.ID_MISSING:
            return _without(message, "id")
        case Contrary.ID_ODD:
            return {**message, "id": details["value"]}
        case Contrary.ID_OF_ANOTHER:
            return {**message, "id": another}
        case Contrary.CREATED_AT:
            return _without(message, "created_at") | _created_at(details["form"], message.get("created_at"))
        case Contrary.CHART_MISSING:
            return {**message, "entities": _without(message.get("entities", {}), "chart")}
        case Contrary.SENTIMENT if details["form"] == "no-entities":
            return _without(message, "entities")
        case Contrary.SENTIMENT:
            entities = message.get("entities", {})
            other = {"basic": "Bearish" if entities.get("sentiment") == {"basic": "Bullish"} else "Bullish"}
            sentiment = {"sentiment": other} if details["form"] == "other" else {}
            return {**message, "entities": _without(entities, "sentiment") | sentiment}
        case _:
            return message


def altered_page(kind: Contrary, details: Details, page: dict[str, Any], pinned: list[Any]) -> dict[str, Any]:
    """Return how a behaviour of `Kind.PAGE` shows a page of the stream; `pinned` comes first."""
    messages, cursor = list(page.get("messages") or []), dict(page.get("cursor") or {})
    match kind:
        case Contrary.SHUFFLED:
            random.Random(len(messages)).shuffle(messages)
        case Contrary.PINNED:
            messages = [*pinned, *messages]
        case Contrary.SHORT:
            messages, cursor = _short(details["where"], messages, cursor)
        case Contrary.CURSOR:
            return _without(page, "cursor") | _cursor(details["form"], cursor)
        case Contrary.NOT_OBJECTS:
            messages = [None, *messages[:1], "post", 7, *messages[1:], []]
        case Contrary.STREAM_EMPTY:
            messages, cursor = [], {"more": False, "since": None, "max": None}
        case Contrary.MESSAGES:
            forms = {"null": None, "object": {}, "text": "none"}
            form = details["form"]
            return _without(page, "messages") | ({"messages": forms[form]} if form in forms else {})
        case _:
            return page
    return {**page, "messages": messages} | ({"cursor": cursor} if "cursor" in page else {})


def _problem(status: int, code: int, media_type: str) -> Reply:
    title = _TITLES.get(code, "Access denied")
    problem = {
        "type": f"{_PROBLEM_TYPE}error-{code}/",
        "title": f"Error {code}: {title}",
        "status": status,
        "detail": "The site owner has blocked this request.",
        "instance": "8f0c4a2b1d3e5f60",
        "error_code": code,
        "cloudflare_error": True,
        "retryable": status != 403,  # noqa: PLR2004
    }
    headers = {"Server": "cloudflare", "CF-RAY": "8f0c4a2b1d3e5f60-FRA"}
    return Reply(status, json.dumps(problem).encode(), media_type, headers)


def _moment(form: str, now: float, seconds: float) -> str:
    """Return the header of a limit that ends so many seconds from now, in one of the forms."""
    end, day = now + seconds, 24 * 3600
    moment = datetime.fromtimestamp(end, UTC)
    forms = {
        "seconds": f"{seconds:.0f}",
        "epoch": f"{end:.0f}",
        "milliseconds": f"{end * 1000:.0f}",
        "http-date": format_datetime(moment, usegmt=True),
        "iso-date": iso_utc(moment),
        "decimal-seconds": f"{seconds:.1f}",
        "decimal-epoch": f"{end:.3f}",
        "past": f"{now - seconds:.0f}",
        "days": f"{3 * day}",
        "days-epoch": f"{now + 3 * day:.0f}",
        "zero": "0",
        "negative": "-1",
        "empty": "",
        "nonsense": "soon",
    }
    return forms[form]


def _created_at(form: str, shown: object) -> dict[str, Any]:
    if form == "missing":
        return {}
    words: dict[str, object] = {"null": None, "empty": "", "word": "just now"}
    if form in words or not isinstance(shown, str):
        return {"created_at": words.get(form)}
    moment = datetime.fromisoformat(shown)
    forms: dict[str, object] = {
        "zone": moment.astimezone(timezone(timedelta(hours=-5))).isoformat(),
        "fraction": moment.strftime("%Y-%m-%dT%H:%M:%S.123Z"),
        "space": moment.strftime("%Y-%m-%d %H:%M:%S +0000"),
        "http-date": format_datetime(moment.astimezone(UTC), usegmt=True),
        "epoch": int(moment.timestamp()),
    }
    return {"created_at": forms[form]}


def _short(where: str, messages: list[Any], cursor: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Leave out half of a page: at its end, or, if there are more pages, in its middle."""
    if where == "middle":
        return (messages[::2] if cursor.get("more") else messages), cursor
    kept = messages[: (len(messages) + 1) // 2]
    last = kept[-1] if kept else None
    oldest = last.get("id") if isinstance(last, dict) else None
    return kept, (cursor | {"more": True, "max": oldest} if len(kept) < len(messages) else cursor)


def _cursor(form: str, cursor: dict[str, Any]) -> dict[str, Any]:
    since, oldest = cursor.get("since"), cursor.get("max")
    forms: dict[str, object] = {
        "null": None,
        "text": "next",
        "empty": {},
        "no-more": {**cursor, "more": False},
        "more": {**cursor, "more": True},
        "digits": {"more": str(cursor.get("more")).lower(), "since": str(since), "max": str(oldest)},
        "swapped": {**cursor, "since": oldest, "max": since},
        "stuck": {**cursor, "more": True, "max": since},
    }
    return {} if form == "missing" else {"cursor": forms[form]}


def _without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in values.items() if each != name}
