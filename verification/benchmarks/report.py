"""Write the results to ``docs/benchmarks.md``."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from local.build import HOST_ARCHITECTURE, HOST_RUNTIME, ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
_INTRODUCTION = """\
# Benchmarks

`make bench` measures all of this on one machine, without Docker and without AWS, and writes this page. The sides of a
comparison run in turns, starting with another one in every round, so that a slow phase of the machine affects all of
them. The ratios carry over to other machines; the milliseconds are only for orientation.

The functions run in Lambda's own runtime (its Runtime Interface Emulator and runtime client) as `sam build` made them,
against an emulator of AWS and a stand-in for StockTwits on loopback, over plain HTTP: TLS would add the same to every
side. This page was measured with {runtime} on {architecture}, {processors} processors.
"""


@dataclass(frozen=True)
class Target:
    """A target, and the measured value; `digits` after the decimal point."""

    name: str
    limit: float
    measured: float
    at_least: bool = False
    digits: int = 2

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def words(self) -> str:
        """The limit in words."""
        return f"{'at least' if self.at_least else 'at most'} {self.limit:.{self.digits}f}"


@dataclass(frozen=True)
class Table:
    """A heading for each column, and rows; numbers are aligned to the right."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Format it in Markdown."""
        rule = ["---:" if text[:1].isdecimal() else "---" for text in self.rows[0]]
        return "\n".join("| " + " | ".join(row) + " |" for row in (self.headings, rule, *self.rows))


@dataclass(frozen=True)
class Section:
    """A section of the page: how it was measured, and the results."""

    title: str
    how: str
    tables: Sequence[Table]
    targets: Sequence[Target]
    remarks: Sequence[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Format it in Markdown."""
        return "\n\n".join([f"## {self.title}", self.how, *(each.markdown() for each in self.tables), *self.remarks])


def write(sections: Sequence[Section]) -> None:
    """Write the page."""
    targets = Table(
        ["Measurement", "Target", "Measured", ""],
        [
            [target.name, target.words, f"{target.measured:.{target.digits}f}", "met" if target.met else "**missed**"]
            for section in sections
            for target in section.targets
        ],
    )
    introduction = _INTRODUCTION.format(
        runtime=HOST_RUNTIME.replace("python", "Python "), architecture=HOST_ARCHITECTURE, processors=os.cpu_count()
    )
    parts = [introduction.rstrip(), "## Targets", targets.markdown(), *(each.markdown() for each in sections)]
    PAGE.write_text("\n\n".join(parts) + "\n")


def milliseconds(seconds: float) -> str:
    """Format a time in milliseconds."""
    return f"{seconds * 1000:.0f}"
