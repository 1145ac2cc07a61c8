"""Texts that take a long time wherever a function on texts is not linear."""

from collections.abc import Callable

UNITS = {
    "links in a link": "http://",
    "secure links in a link": "https://",
    "a link without an end": "http://x",
    "queries": "http://x?",
    "marks": "?",
    "encoded ampersands": "amp;",
    "decimal ampersands": "#38;",
    "numbers": "9",
    "zeros": "0",
    "entities": "&lt;",
    "ampersands": "&",
    "one word": "x",
    "spaces": " ",
    "lines": "\n",
    "cashtags": "$A",
    "braces": "{",
    "placeholders without an end": "{{a",
    "percent signs": "%a",
    "names without an end": "<a_",
    "byte order marks": "\ufeff",
    "characters without a width": "\u200b",
    "fences": "```\n",
    "quoted lines": '"a"\n',
    "fields": ', "body"  ',
    "lines of fields": "key: a\n",
    "Base64": "eyJh",
    "quotes": '"',
    "backslashes": "\\",
    "combining marks": "\u0301",
    "combining marks out of order": "\u0301\u0327",
    "a character of two marks": "\u0f73",
}
"""The repeated parts."""

_GENERATED: dict[str, Callable[[int], str]] = {
    "nested ampersands": lambda size: "&" + "amp;" * (size // 4),
    "nested numbers": lambda size: "&" + "#38;" * (size // 4),
    "nested letters": lambda size: "&" * (size // 4) + "#35;" * (size // 4),
    "an entity with a large number": lambda size: "&#" + "9" * size + ";",
    "an entity with many zeros": lambda size: "&#" + "0" * size + "65;",
    "a link to an entity with a large number": lambda size: "https://x.org/&#" + "9" * min(size, 5000) + ";",
}

NAMES = (*UNITS, *_GENERATED)
"""All shapes."""


def shape(name: str, size: int) -> str:
    """Return a text of a shape with about `size` characters."""
    return _GENERATED[name](size) if name in _GENERATED else (UNITS[name] * size)[:size]
