"""Write the page ``docs/reliability.md``: an introduction, and a section by each tool."""

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

The relay guarantees:

- A message in the Outbox ends in one of two places: on StockTwits, once, or in Dead letters, with the reason in words.
  If an attempt may have posted it and the relay cannot find out, it is not posted again: Dead letters asks an operator
  to check.
- A backup is either in the archive, complete and byte for byte, or it is not there at all. Within the look-back, the
  archive follows Firestream: the newest whole file is current, and every older version is kept.

This page shows how these guarantees were tested. `make reliability` repeats the tests on this machine, without Docker
and without AWS, and replaces each section. `python -m verification.reliability NAME` runs one of them. The choices of a
run come from its seed. Which worker is killed, and at which moment, differs in every run.
"""


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        text: Its Markdown, including the heading.
        violations: The guarantees that were violated, if any.
    """

    text: str
    violations: Sequence[str] = ()

    @classmethod
    def of(cls, text: str, violations: Sequence[str]) -> Self:
        """Wrap the text, and list the violations below it."""
        listed = "\n".join(["**Violated:**", "", *(f"- {each}" for each in violations)])
        return cls(filled(f"{text.rstrip()}\n\n{listed}" if violations else text), violations)


def write(name: str, text: str, page: Path = PAGE) -> None:
    """Replace the section ``<!-- name -->`` of the page, or append it; the rest is not changed."""
    content = page.read_text() if page.exists() else _INTRODUCTION
    section = f"<!-- {name} -->\n{text.strip()}\n<!-- /{name} -->\n"
    marked = re.compile(rf"<!-- {re.escape(name)} -->\n.*?<!-- /{re.escape(name)} -->\n", re.DOTALL)
    found = marked.search(content)
    page.write_text(marked.sub(lambda _: section, content) if found else f"{content.rstrip()}\n\n{section}")


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Format a table in Markdown, with numbers aligned to the right."""
    texts = [[f"{each:,}" if isinstance(each, int) else str(each) for each in row] for row in rows]
    rule = ["---:" if isinstance(each, int) else "---" for each in rows[0]]
    return "\n".join("| " + " | ".join(row) + " |" for row in (headings, rule, *texts))


def filled(text: str) -> str:
    """Wrap the lines of paragraphs and list items again; tables are not changed."""
    blocks = [block.splitlines() for block in text.strip().split("\n\n")]
    return "\n\n".join("\n".join(lines if lines[0][0] == "|" else _items(lines)) for lines in blocks)


def _items(lines: Sequence[str]) -> Iterator[str]:
    for item in re.split(r"\n(?=- )", "\n".join(lines)):
        yield from textwrap.wrap(
            " ".join(item.split()), WIDTH, subsequent_indent="  " * item.startswith("- "), break_on_hyphens=False
        )
