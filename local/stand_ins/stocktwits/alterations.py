"""How a contrary behaviour changes what the API answers; nothing here opens a connection."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from local.stand_ins.stocktwits.api import DUPLICATE, PARENT_NOT_FOUND, Reply, iso_utc
from local.stand_ins.stocktwits.contrary import Contrary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.stand_ins.stocktwits.contrary import Details

_TITLES = {
    1006: "Access denied: Your IP address has been banned",
    1010: "The owner of this website has banned your access based on your browser's signature",
    1015: "You are being rate limited",
    1020: "Access denied",
    1200: "Cache connection limit",
}
_PROBLEM_TYPE = "https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/"
_INNER_MESSAGES = {
    401: "Authentication required",
    403: "The access token lacks the scope publish_messages",
    404: "Message not found",
    422: DUPLICATE,
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
_RAY = "8f0c4a2b1d3e5f60"
_CLOUDFLARE_HEADERS = {"CF-RAY": f"{_RAY}-FRA"}
_SERVER_PAGE = b"<!DOCTYPE html><title>StockTwits</title><h1>This page is not what you are looking for</h1>"
_CLOUDFLARE_PAGE = (
    b"<!DOCTYPE html><title>stocktwits.com | Cloudflare</title><h1>Please try again in a few minutes</h1>"
)


def replacement(kind: Contrary, details: Details, now: float) -> Reply:
    """Return the answer that a behaviour of `Kind.ANSWER` gives in place of the genuine one."""
    return _REPLACEMENTS[kind](details, now)


def altered_message(kind: Contrary, details: Details, message: dict[str, Any], another: int) -> dict[str, Any]:
    """Return how a behaviour of `Kind.MESSAGE` shows a post; `another` is the id of another post."""
    match kind:
        case Contrary.ID_TEXT:
            altered = {**message, "id": str(message.get("id"))}
        case Contrary.ID_MISSING:
            altered = _without(message, "id")
        case Contrary.ID_ODD:
            altered = {**message, "id": details["value"]}
        case Contrary.ID_OF_ANOTHER:
            altered = {**message, "id": another}
        case Contrary.CREATED_AT:
            altered = _without(message, "created_at") | _created_at(details["form"], message.get("created_at"))
        case Contrary.CHART_MISSING:
            altered = {**message, "entities": _without(message.get("entities", {}), "chart")}
        case Contrary.SENTIMENT:
            altered = _with_sentiment(details["form"], message)
        case Contrary.LINKS:
            altered = _without(message, "links") | _links(details["form"], message.get("links"))
        case _:
            altered = message
    return altered


def altered_page(kind: Contrary, details: Details, page: dict[str, Any], pinned: list[Any]) -> dict[str, Any]:
    """Return how a behaviour of `Kind.PAGE` shows a page of the stream; `pinned` comes first."""
    messages, cursor = page.get("messages"), page.get("cursor")
    if not isinstance(messages, list) or not isinstance(cursor, dict):  # another behaviour changed it before
        return page
    match kind:
        case Contrary.SHUFFLED:
            messages = random.Random(len(messages)).sample(messages, len(messages))
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
            forms: dict[str, object] = {"null": None, "object": {}, "text": "none"}
            form = details["form"]
            return _without(page, "messages") | ({"messages": forms[form]} if form in forms else {})
        case _:
            return page
    return {**page, "messages": messages, "cursor": cursor}


def _page(details: Details) -> Reply:
    if details["by"] == "cloudflare":
        return Reply(details["status"], _CLOUDFLARE_PAGE, headers=_CLOUDFLARE_HEADERS)
    return Reply(details["status"], _SERVER_PAGE)


def _problem(details: Details) -> Reply:
    code, status = details["code"], details["status"]
    problem = {
        "type": f"{_PROBLEM_TYPE}error-{code}/",
        "title": f"Error {code}: {_TITLES.get(code, 'Access denied')}",
        "status": status,
        "detail": "The site owner has blocked this request.",
        "instance": _RAY,
        "error_code": code,
        "cloudflare_error": True,
        "retryable": status != 403,  # noqa: PLR2004
    }
    return Reply(status, json.dumps(problem).encode(), details["type"], _CLOUDFLARE_HEADERS)


def _inner_status(details: Details) -> Reply:
    status = details["status"]
    message = details["message"] or _INNER_MESSAGES.get(status, "Something went wrong")
    inner = {"status": str(status) if details["as_text"] else status}
    return Reply.json({"response": inner, "errors": [{"message": message}]})


def _rate_limit(details: Details, now: float) -> Reply:
    value = _moment(details["form"], now, details["seconds"])
    return Reply.rate_limited(400).with_headers({details["header"]: value})


_REPLACEMENTS: Mapping[Contrary, Callable[[Details, float], Reply]] = {
    Contrary.PAGE: lambda details, _: _page(details),
    Contrary.EMPTY: lambda details, _: Reply(details["status"], b""),
    Contrary.OTHER_JSON: lambda details, _: Reply.json(_OTHER_JSON[details["form"]], details["status"]),
    Contrary.ERROR: lambda details, _: Reply.error(details["status"], details["message"]),
    Contrary.PROBLEM: lambda details, _: _problem(details),
    Contrary.INNER_STATUS: lambda details, _: _inner_status(details),
    Contrary.RATE_LIMIT: _rate_limit,
    Contrary.DUPLICATE: lambda *_: Reply.error(422, DUPLICATE),
    Contrary.PARENT_HIDDEN: lambda details, _: Reply.error(details["status"], PARENT_NOT_FOUND),
}


def _with_sentiment(form: str, message: dict[str, Any]) -> dict[str, Any]:
    if form == "no-entities":
        return _without(message, "entities")
    entities = message.get("entities", {})
    other = {"basic": "Bearish" if entities.get("sentiment") == {"basic": "Bullish"} else "Bullish"}
    shown = {"sentiment": other} if form == "other" else {}
    return {**message, "entities": _without(entities, "sentiment") | shown}


def _links(form: str, shown: object) -> dict[str, Any]:
    """Return the list of a post's links in one of the forms."""
    if not isinstance(shown, list):  # it has none, or another behaviour changed it before
        return {}
    addresses: dict[str, Callable[[str], str]] = {
        "untracked": lambda url: url.partition("?")[0],
        "elsewhere": lambda url: f"https://t.example/{len(url)}",
        "slash": lambda url: f"{url}/",
    }
    forms: dict[str, object] = {
        "null": None,
        "empty": [],
        "first": shown[:1],
        "text": [each["url"] for each in shown],
        **{name: [each | {"url": to(each["url"])} for each in shown] for name, to in addresses.items()},
    }
    return {} if form == "missing" else {"links": forms[form]}


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
    if form in words:
        return {"created_at": words[form]}
    try:
        moment = datetime.fromisoformat(str(shown))
    except ValueError:  # another behaviour changed it before
        return {"created_at": shown}
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
