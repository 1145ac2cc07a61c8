"""All that the command writes: a terminal obeys what it shows, and much of that was written by other people.

Nothing else in this package writes to the standard streams; a test holds that. Consoles show texts as they are, markup
in them included, with every character escaped that would steer the terminal. JSON is ASCII.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.segment import Segment

from relay_cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import ConsoleOptions, RenderableType
    from rich.text import Text

LONGEST_KEPT_CHARACTERS = 16
"""Longer ones hardly repeat, and would be kept."""

_PRINTABLE_ASCII = bytes(range(ord(" "), ord("~") + 1))
_SPACES = bytes.maketrans(b"\t\r", b"  ")
_BEYOND_ASCII = re.compile("[^ -~]+")


class SafeConsole(Console):
    """A console on which only our own styles are more than text."""

    def __init__(self, *, stderr: bool = False) -> None:
        """Write to the standard output or error, whatever they are when something is written."""
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401  rich's own
        """Escape a text before rich takes some characters out of it without a trace."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Escape what would steer the terminal; all that rich shows comes through here, parts of a table too."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


class LogHandler(logging.Handler):
    """Shows what libraries log, which may quote the other side."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show it beside what is asked for."""
        complain(self.format(record))


def print_error(text: str) -> None:
    """Write a text beside what is asked for, its lines as long as they are."""
    SafeConsole(stderr=True).print(text, soft_wrap=True)


def print_json(value: object) -> None:
    """Print a value for scripts, in ASCII: data classes as objects, moments in ISO 8601."""
    json.dump(value, sys.stdout, indent=2, default=_plain)
    sys.stdout.write("\n")


def write_lines(lines: Iterable[bytes]) -> None:
    """Write lines that are escaped already, such as `ascii_json` gives, as fast as they come."""
    write = sys.stdout.buffer.write
    for line in lines:
        write(line)
        write(b"\n")


def ascii_json(line: bytes) -> bytes:
    r"""Write a line of JSON in printable ASCII, with the same values: the rest is escaped, as in ``\u00eb``.

    Bytes that are not UTF-8, which stand for nothing, become U+FFFD.
    """
    if not line.translate(None, _PRINTABLE_ASCII):
        return line
    # Strings hold neither tabs nor carriage returns (RFC 8259, section 7): these are between the values.
    text = line.translate(_SPACES).decode(errors="replace")
    return _BEYOND_ASCII.sub(_escaped, text).encode("ascii")


def _escaped(found: re.Match[str]) -> str:
    text = found[0]
    return _escaped_once(text) if len(text) <= LONGEST_KEPT_CHARACTERS else json.dumps(text)[1:-1]


@lru_cache(4096)  # what people write beyond ASCII repeats
def _escaped_once(text: str) -> str:
    return json.dumps(text)[1:-1]


def _plain(value: object) -> Any:  # noqa: ANN401  whatever JSON can hold
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return str(value)
