"""The only module that writes to the standard streams, which a test enforces.

Much of the output was written by other people, and could control the terminal. Consoles print texts literally, without
interpreting markup, and escape control and invisible characters. JSON is ASCII.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from functools import lru_cache
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, BinaryIO

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from relay_cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import ConsoleOptions, RenderableType
    from rich.progress import Progress
    from rich.status import Status

LONGEST_KEPT_CHARACTERS = 16
"""Longer texts hardly repeat, and would fill the cache."""

_PRINTABLE_ASCII = bytes(range(ord(" "), ord("~") + 1))
_SPACES = bytes.maketrans(b"\t\r", b"  ")
_BEYOND_ASCII = re.compile("[^ -~]+")


class SafeConsole(Console):
    """A console that prints texts literally; only the command's own styles have an effect."""

    def __init__(self, *, stderr: bool = False) -> None:
        """Write to the current standard output or error."""
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401  rich's own
        """Print; a terminal would break a line that ``soft_wrap`` keeps whole in the middle of a word."""
        if options.get("soft_wrap") and self.is_terminal:
            objects = tuple(self._wrapped(each) if isinstance(each, (str, Text)) else each for each in objects)
        super().print(*objects, **options)

    def _wrapped(self, given: str | Text) -> Text:
        """Break lines between words, and indent what follows as the line; a link that is too long stays whole."""
        text = self.render_str(given) if isinstance(given, str) else given
        lines: list[Text] = []
        for line in text.split("\n", allow_blank=True):
            indent = len(line.plain) - len(line.plain.lstrip(" "))
            first, *others = line.divide(_breaks(line.plain, indent, self.width))
            lines.append(first)
            for other in others:
                lines[-1].rstrip()
                lines.append(Text(" " * indent).append_text(other))
        return Text("\n").join(lines)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401  rich's own
        """Escape a text before rich silently drops characters from it."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Escape what would control the terminal; all rich output passes through here, cells of a table included."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def _breaks(line: str, indent: int, width: int) -> list[int]:
    """Return where to break a line so that no word crosses the width."""
    breaks, column = [], 0
    for word in re.finditer(r"\s*\S+\s*", line):
        if column > indent and column + cell_len(word[0].rstrip()) > width:
            breaks.append(word.start())
            column = indent
        column += cell_len(word[0])
    return breaks


class LogHandler(logging.Handler):
    """Prints what libraries log, which may quote other people's text."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record to standard error."""
        print_error(self.format(record))


def print_error(text: str) -> None:
    """Print a text to standard error, without wrapping its lines."""
    SafeConsole(stderr=True).print(text, soft_wrap=True)


def escape_unencodable() -> None:
    r"""Let the standard streams escape what their encoding lacks, such as an emoji in Latin-1, as in ``\U0001f680``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_json(value: object) -> None:
    """Print a value as ASCII JSON: data classes as objects, points in time in ISO 8601.

    A field's metadata may have another name for it as ``json``, or None to leave it out.
    """
    json.dump(value, sys.stdout, indent=2, default=_plain)
    sys.stdout.write("\n")


@contextmanager
def erased(display: Status | Progress) -> Iterator[None]:
    """Erase a spinner or a bar while something else is printed.

    They go to standard error, and a result to standard output: on a terminal, it could begin on their line.
    """
    display.stop()
    try:
        yield
    finally:
        display.start()


def goes_to_a_terminal() -> bool:
    """Return whether standard output is a terminal, whatever the environment says about colours."""
    return sys.stdout.isatty()


def binary_output() -> BinaryIO:
    """Return standard output for bytes that do not go to a terminal."""
    return sys.stdout.buffer


def write_lines(lines: Iterable[bytes]) -> None:
    """Write lines that are already escaped, for example by `ascii_json`, or that do not go to a terminal."""
    write = sys.stdout.buffer.write
    for line in lines:
        write(line)
        write(b"\n")


def ascii_json(line: bytes) -> bytes:
    r"""Convert a line of JSON to printable ASCII with the same values; the rest is escaped, as in ``\u00eb``.

    Bytes that are not UTF-8 become U+FFFD.
    """
    if not line.translate(None, _PRINTABLE_ASCII):
        return line
    # Strings hold neither tabs nor carriage returns (RFC 8259, section 7): they are between the values.
    text = line.translate(_SPACES).decode(errors="replace")
    return _BEYOND_ASCII.sub(_escaped, text).encode("ascii")


def _escaped(found: re.Match[str]) -> str:
    text = found[0]
    return _escaped_once(text) if len(text) <= LONGEST_KEPT_CHARACTERS else json.dumps(text)[1:-1]


@lru_cache(4096)  # non-ASCII text tends to repeat
def _escaped_once(text: str) -> str:
    return json.dumps(text)[1:-1]


def _plain(value: object) -> Any:  # noqa: ANN401  any JSON value
    if is_dataclass(value) and not isinstance(value, type):
        named = {each.metadata.get("json", each.name): getattr(value, each.name) for each in fields(value)}
        return {name: each for name, each in named.items() if name is not None}
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return str(value)
