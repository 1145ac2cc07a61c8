"""The page ``docs/reliability.md``: an introduction, and sections that each tool writes for itself."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from local.build import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PAGE = ROOT / "docs" / "reliability.md"
WIDTH = 120
_INTRODUCTION = """\
# Reliability

What the relay promises:

- A message in the Outbox ends in one of two places: on StockTwits, once, or in Dead letters, with the reason in words.
  When nobody can tell whether an attempt had posted it, it is not posted again: Dead letters asks a person to look.
- A backup is in the archive whole, byte for byte, or not at all.

What was done to these promises is below: `make reliability` does it again, on this machine, without Docker and without
AWS, and writes each section anew. `python -m verification.reliability NAME` does one of them. A run's choices come from
its seed; which worker a kill meets, and in the middle of what, is the machine's own chance and differs every time.
"""


@dataclass(frozen=True)
class Section:
    """One subject of the page.

    Attributes:
        text: Its Markdown, from its heading on.
        complaints: Where a promise was broken; none when all were kept.
    """

    text: str
    complaints: Sequence[str] = ()

    @classmethod
    def of(cls, text: str, complaints: Sequence[str]) -> Self:
        """Fill the text, and put what was broken under it."""
        broken = "\n".join(["**Broken:**", "", *(f"- {each}" for each in complaints)])
        return cls(filled(f"{text.rstrip()}\n\n{broken}" if complaints else text), complaints)


def write(name: str, text: str, page: Path = PAGE) -> None:
    """Replace the section ``<!-- name -->`` of the page, or append it; everything else stays as it is."""
    content = page.read_text() if page.exists() else _INTRODUCTION
    section = f"<!-- {name} -->\n{text.strip()}\n<!-- /{name} -->\n"
    marked = re.compile(rf"<!-- {re.escape(name)} -->\n.*?<!-- /{re.escape(name)} -->\n", re.DOTALL)
    there = marked.search(content)
    page.write_text(marked.sub(lambda _: section, content) if there else f"{content.rstrip()}\n\n{section}")


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a table in Markdown; numbers stand on the right."""
    texts = [[f"{each:,}" if isinstance(each, int) else str(each) for each in row] for row in rows]
    rule = ["---:" if isinstance(each, int) else "---" for each in rows[0]]
    return "\n".join("| " + " | ".join(row) + " |" for row in (headings, rule, *texts))


def filled(text: str) -> str:
    """Break the lines of paragraphs and of list items anew; a table stays as it is."""
    blocks = [block.splitlines() for block in text.strip().split("\n\n")]
    return "\n\n".join("\n".join(lines if lines[0][0] == "|" else _items(lines)) for lines in blocks)


def _items(lines: Sequence[str]) -> Iterator[str]:
    for item in re.split(r"\n(?=- )", "\n".join(lines)):
        yield from textwrap.wrap(
            " ".join(item.split()), WIDTH, subsequent_indent="  " * item.startswith("- "), break_on_hyphens=False
        )
