"""What was measured, in words and tables: ``docs/benchmarks.md``."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from local.build import HOST_ARCHITECTURE, HOST_RUNTIME, ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
_INTRODUCTION = """\
# Benchmarks

`make bench` measures all of this on one machine, without Docker and without AWS, and writes this page. Both sides of a
comparison run in turns, another one first in every round, so that what slows the machine down slows down both. The
ratios carry over to other machines; the milliseconds are there for orientation only.

The functions run in Lambda's own runtime (its Runtime Interface Emulator and runtime client) as `sam build` made them,
against an emulator of AWS and a stand-in of StockTwits on loopback, over plain HTTP: TLS would add to every side. This
page was measured with {runtime} on {architecture}, {processors} processors.
"""


@dataclass(frozen=True)
class Bar:
    """Something promised, and what was measured; `digits` after the point."""

    promise: str
    limit: float
    measured: float
    at_least: bool = False
    digits: int = 2

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def words(self) -> str:
        """The bar as a person would say it."""
        return f"{'at least' if self.at_least else 'at most'} {self.limit:.{self.digits}f}"


@dataclass(frozen=True)
class Table:
    """A heading for each column, and rows; numbers stand on the right."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Write it in Markdown."""
        rule = ["---:" if text[:1].isdecimal() else "---" for text in self.rows[0]]
        return "\n".join("| " + " | ".join(row) + " |" for row in (self.headings, rule, *self.rows))


@dataclass(frozen=True)
class Section:
    """One subject: how it was measured, and what came out."""

    title: str
    how: str
    tables: Sequence[Table]
    bars: Sequence[Bar]
    remarks: Sequence[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Write it in Markdown."""
        return "\n\n".join([f"## {self.title}", self.how, *(each.markdown() for each in self.tables), *self.remarks])


def write(sections: Sequence[Section]) -> None:
    """Write the page."""
    bars = Table(
        ["Promise", "Bar", "Measured", ""],
        [
            [bar.promise, bar.words, f"{bar.measured:.{bar.digits}f}", "met" if bar.met else "**missed**"]
            for section in sections
            for bar in section.bars
        ],
    )
    introduction = _INTRODUCTION.format(
        runtime=HOST_RUNTIME.replace("python", "Python "), architecture=HOST_ARCHITECTURE, processors=os.cpu_count()
    )
    parts = [introduction.rstrip(), "## The bars", bars.markdown(), *(each.markdown() for each in sections)]
    PAGE.write_text("\n\n".join(parts) + "\n")


def milliseconds(seconds: float) -> str:
    """Write a time."""
    return f"{seconds * 1000:.0f}"
