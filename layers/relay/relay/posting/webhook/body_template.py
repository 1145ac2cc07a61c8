"""Templates: an alert from a payload whose form its sender decides. Plain substitution, without logic. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

import msgspec

from relay.errors import Reject
from relay.posting.alert import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CHARACTERS = 65_536
"""The longest text that a template may grow to; far more than StockTwits takes, and little for a function's memory."""

SENTIMENTS = ("bullish", "bearish", "neutral")
"""The sentiments of an alert; a test compares them with `relay.posting.alert.Alert`."""

_PART = re.compile(r"\{\{|\}\}|\{(?P<path>[^{}]+)\}|[{}]")
_MAP = re.compile(r"(?P<path>[^:=,{}]+):(?P<value>[^=,]*)=(?P<replacement>[^,]*)")
_QUOTED_PATH_CHARACTERS = 100

_BREAKING = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of what could begin a line or control a display: control characters, halves of surrogate pairs,
and the two characters that separate lines and paragraphs."""


class Template(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How an alert is made of a payload in JSON.

    In each text, ``{path}`` stands for a value of the payload: ``{symbol}``, ``{strategy.order.action}``, or
    ``{stocks.0}`` for the first of a list. ``{{`` and ``}}`` are braces.

    Attributes:
        body: The alert's text.
        sentiment: Its sentiment; an empty result is none.
        key: Its idempotency key.
        maps: For a path in the sentiment, what stands for each of its values: ``{"side": {"buy": "bullish"}}``. Other
            values stand for themselves.
    """

    body: str
    sentiment: str = ""
    key: str = ""
    maps: dict[str, dict[str, str]] = {}


def check(template: Template) -> None:
    """Refuse a template that no payload could fill in as it is meant.

    Raises:
        Reject: A brace or a map is wrong; the reason says which.
    """
    if not template.body.strip():
        raise Reject("the template's body is empty")
    for field in ("body", "sentiment", "key"):
        text = getattr(template, field)
        if _has_controls(text):
            raise Reject(f"the template's {field} has a control character")
        for _ in _parts(field, text):
            pass
    if any(_has_controls(word) for words in template.maps.values() for pair in words.items() for word in pair):
        raise Reject("the template's map has a control character")
    _check_sentiment(template)
    if template.key and not any(_paths("key", template.key)):
        raise Reject("the template's key is the same for every alert: name a field of the payload in it, as in {id}")
    unused = set(template.maps) - set(_paths("sentiment", template.sentiment))
    if unused:
        raise Reject(
            f"the map of {_quoted(min(unused))} is of no use: the template's sentiment does not have that path"
        )


def _check_sentiment(template: Template) -> None:
    """Refuse words that the sentiment can only become by mistake."""
    parts = [part for part in _parts("sentiment", template.sentiment.strip()) if part != ("", None)]
    match parts:
        case [(_, str(path))]:
            words = list(template.maps.get(path, {}).values())
        case _ if all(path is None for _, path in parts):
            words = ["".join(literal for literal, _ in parts)]
        case _:
            words = []
    for word in words:
        if word and word not in SENTIMENTS:
            raise Reject(f"the template's sentiment can be {_quoted(word)}, and must be one of {', '.join(SENTIMENTS)}")


def example(template: Template) -> str:
    """Return the body of a template with a single character for each of its fields."""
    return "".join(literal if path is None else "x" for literal, path in _parts("body", template.body))


def parse_maps(text: str) -> dict[str, dict[str, str]]:
    """Read maps as an operator writes them, as in ``side:buy=bullish,side:sell=bearish``.

    Raises:
        Reject: It is written otherwise.
    """
    maps: dict[str, dict[str, str]] = {}
    for each in filter(None, map(str.strip, text.split(","))):
        found = _MAP.fullmatch(each)
        if not found:
            raise Reject("a map must be written as in side:buy=bullish,side:sell=bearish")
        maps.setdefault(found["path"].strip(), {})[found["value"].strip()] = found["replacement"].strip()
    return maps


def render(template: Template, payload: str) -> dict[str, str]:
    """Fill in a template.

    Values of the payload keep the form in which it has them, such as ``3.10``. A space takes the place of each of
    their control characters, so that no sender can begin a line of its own.

    Args:
        template: A template that `check` has passed.
        payload: The payload, in JSON.

    Returns:
        The fields of a message: ``body``, and ``sentiment`` and ``key`` where the template has them.

    Raises:
        Reject: The payload is not JSON, or a field of it is missing or is not a single value; the reason names it.
    """
    content = _parse(payload)
    sentiment = _filled("sentiment", template.sentiment, content, template.maps)
    key = _filled("key", template.key, content)
    if template.key and not key.strip():
        raise Reject("the key that the template makes of this payload is empty")
    fields = {"body": _filled("body", template.body, content), "sentiment": sentiment.strip(), "key": key.strip()}
    return {name: value for name, value in fields.items() if value or name == "body"}


def _parse(payload: str) -> Any:  # noqa: ANN401  whatever JSON holds
    try:
        content = json.loads(payload, parse_float=str, parse_int=str, parse_constant=_no_json)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, (dict, list)):
        raise Reject("the payload must be a JSON object: this source has a template, which is filled in from one")
    return content


def _no_json(constant: str) -> None:
    raise ValueError(constant)


def _filled(field: str, text: str, content: Any, maps: dict[str, dict[str, str]] | None = None) -> str:  # noqa: ANN401
    filled: list[str] = []
    length = 0
    for literal, path in _parts(field, text):
        value = literal if path is None else _value(content, path)
        if path is not None and field == "body" and not value.strip():
            raise Reject(f"the payload's field {_quoted(path)} is empty, which would leave a gap in the post")
        if path is not None and maps:
            value = maps.get(path, {}).get(value, value)
        length += len(value)
        if length > MAX_CHARACTERS:
            raise Reject(
                f"the {field} that the template makes of this payload has more than {MAX_CHARACTERS:,} characters"
            )
        filled.append(value)
    return "".join(filled)


def _value(content: Any, path: str) -> str:  # noqa: ANN401
    """Return a single value of the payload as text; a name that has dots is found as well as a path of names."""
    found, left = content, path
    while left:
        if isinstance(found, dict) and left in found:
            found, left = found[left], ""
            continue
        name, _, left = left.partition(".")
        try:
            found = found[int(name)] if isinstance(found, list) and name.isdecimal() else found[name]
        except (LookupError, TypeError, ValueError):
            raise Reject(f"the payload has no field {_quoted(path)}") from None
    match found:
        case str():
            return "".join(" " if unicodedata.category(each) in _BREAKING else each for each in found)
        case bool():
            return "true" if found else "false"
        case None:
            raise Reject(f"the payload has no field {_quoted(path)}: it is null")
    raise Reject(f"the payload's field {_quoted(path)} is a list or an object, not a single value")


def _paths(field: str, text: str) -> Iterator[str]:
    return (path for _, path in _parts(field, text) if path is not None)


def _parts(field: str, text: str) -> Iterator[tuple[str, str | None]]:
    """Yield a template's parts in order: literal texts, and the paths that stand between them."""
    end = 0
    for part in _PART.finditer(text):
        yield text[end : part.start()], None
        end = part.end()
        if part["path"] is not None:
            path = part["path"].strip()
            if not all(path.split(".")):
                raise Reject(f"the template's {field} has an empty name in {{{_quoted(path)}}}")
            yield "", path
        elif len(part[0]) == 1:
            raise Reject(f"the template's {field} has a single {part[0]}: write {part[0] * 2} for a brace")
        else:
            yield part[0][0], None
    yield text[end:], None


def _has_controls(text: str) -> bool:
    return any(unicodedata.category(each) in {"Cc", "Cs"} and each not in "\n\t" for each in text)


def _quoted(path: str) -> str:
    return printable(path[:_QUOTED_PATH_CHARACTERS])
