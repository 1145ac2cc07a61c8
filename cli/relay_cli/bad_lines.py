"""What to do about lines of a backup that cannot be read, and how to report them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from relay_cli.text import count, one_line

if TYPE_CHECKING:
    from relay.backups.reader import BadLine

    from relay_cli.output import SafeConsole

REPORTED = 5
"""How many bad lines are reported one by one; the others are counted."""


class Errors(StrEnum):
    """What to do about a bad line."""

    RAISE = "raise"
    SKIP = "skip"


class Skipped:
    """Counts the lines that cannot be read, and reports the first of them.

    Attributes:
        lines: How many there were.
    """

    def __init__(self, notes: SafeConsole) -> None:
        """Report to a console."""
        self._notes = notes
        self.lines = 0

    def __call__(self, bad: BadLine) -> None:
        """Count a line."""
        self.lines += 1
        if self.lines <= REPORTED:
            self._notes.print(f"line {bad.number}: {one_line(bad.reason)}", soft_wrap=True)

    def report(self) -> None:
        """Print how many there were, if there were any."""
        if self.lines:
            self._notes.print(f"Skipped {count(self.lines, 'line')} that cannot be read.")
