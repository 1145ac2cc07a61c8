"""What the demo waits for: one line that changes on a terminal, and one every ten seconds elsewhere."""

import time
from typing import Self

from rich.console import Console

LINE_SECONDS = 10
"""How often a line is printed where it cannot change, such as in a file or a CI log."""


class Waiting:
    """Shows what is waited for, and how far it is; use it in a ``with`` block."""

    def __init__(self, console: Console) -> None:
        """Show nothing yet."""
        self._console = console
        self._status = console.status("")
        self._started = time.monotonic()
        self._next_line = 0.0

    def __enter__(self) -> Self:
        """Start the line."""
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the line."""
        self._status.stop()

    def show(self, text: str) -> None:
        """Say what is waited for now."""
        seconds = time.monotonic() - self._started
        self._status.update(f"{text} [dim]({seconds:.0f} s)[/]")
        if not self._console.is_terminal and seconds >= self._next_line:
            self._next_line = seconds + LINE_SECONDS
            self._console.print(f"[dim]  … {text} ({seconds:.0f} s)[/]")
