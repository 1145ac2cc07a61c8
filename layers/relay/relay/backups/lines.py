"""What a line of a backup is: the one meaning that verifier, reader and command share. Pure.

A backup is lines of bytes, each up to its newline; the last may lack its own. White space around a line does not count,
nor does a byte order mark at its beginning: the standard library reads past both, and editors and Windows write them.
What is left is empty, an object, or odd. An object is what the standard library reads as one: `json.loads` returns a
dict.
"""

from __future__ import annotations

import json
from typing import Any

MAX_LINE_BYTES = 64 * 1024 * 1024
"""The longest line that can be an object, its newline not counted. A message of StockTwits has a few thousand bytes;
whoever reads a line holds all of it, and the object takes several times as much."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

WHITE_SPACE = b" \t\r\n"
"""JSON's own: https://www.rfc-editor.org/rfc/rfc8259#section-2."""


def content(line: bytes) -> bytes:
    """Return what counts of a line; nothing is left of an empty one."""
    text = line.strip(WHITE_SPACE)
    return text[len(BYTE_ORDER_MARK) :].lstrip(WHITE_SPACE) if text.startswith(BYTE_ORDER_MARK) else text


def has_braces(text: bytes) -> bool:
    """Return whether the content of a line begins and ends like an object, which a parser may still refuse."""
    return text.startswith(b"{") and text.endswith(b"}")


def parse(line: bytes) -> dict[str, Any]:
    """Parse a line as the standard library does.

    Raises:
        ValueError: It is not an object; the reason says why, and quotes nothing of the line.
    """
    try:
        value = json.loads(line.strip(WHITE_SPACE))
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} (character {error.pos + 1})") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8: {error.reason} (byte {error.start + 1})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is JSON, but not an object")  # noqa: TRY004  whatever else it is, it cannot be read
    return value
