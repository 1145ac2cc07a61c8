"""The progress bar of what is read from the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

if TYPE_CHECKING:
    from relay_cli.output import SafeConsole

LARGE_BYTES = 8_000_000
"""From this size on, a progress bar is shown."""


def transfer_bar(notes: SafeConsole, size: int) -> Progress:
    """Return a bar for so many bytes, to standard error; it shows nothing if they are few, or not on a terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=notes,
        transient=True,
        disable=size < LARGE_BYTES or not notes.is_terminal,
    )
