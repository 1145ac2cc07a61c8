"""Shapes of text that keep a processor busy, should anything that looks at texts not be linear."""

from collections.abc import Callable

UNITS = {
    "links in a link": "http://",
    "secure links in a link": "https://",
    "a link that has no end": "http://x",
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
    "quotes": '"',
    "backslashes": "\\",
    "combining marks": "\u0301",
    "combining marks out of order": "\u0301\u0327",
    "a character of two marks": "\u0f73",
}
"""What is repeated."""

_MADE: dict[str, Callable[[int], str]] = {
    "ampersands one within the other": lambda size: "&" + "amp;" * (size // 4),
    "numbers one within the other": lambda size: "&" + "#38;" * (size // 4),
    "letters one within the other": lambda size: "&" * (size // 4) + "#35;" * (size // 4),
    "an entity with a large number": lambda size: "&#" + "9" * size + ";",
    "an entity with many zeros": lambda size: "&#" + "0" * size + "65;",
    "a link to an entity with a large number": lambda size: "https://x.org/&#" + "9" * min(size, 5000) + ";",
}

NAMES = (*UNITS, *_MADE)
"""All shapes."""


def shape(name: str, size: int) -> str:
    """Return a text of a shape, of about so many characters."""
    return _MADE[name](size) if name in _MADE else (UNITS[name] * size)[:size]
