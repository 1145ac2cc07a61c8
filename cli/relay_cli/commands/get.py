"""``relay get``: download one backup, completely or not at all."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer
from relay.backups.gunzip import drain
from relay.backups.verifier import verify
from relay.errors import Corrupt
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from relay_cli.commands.options import Day, FileType  # noqa: TC001  typer reads them
from relay_cli.deployed import calendar
from relay_cli.deployed.backup_file import MeasuredReader, StoredBackup
from relay_cli.failure import FAILED, USAGE, Failure
from relay_cli.files import for_the_owner, share
from relay_cli.output import print_json
from relay_cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.backups.backup import Backup

    from relay_cli.context import Context

LARGE_BYTES = 8_000_000
"""From this size on, a progress bar is shown."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A backup on this machine.

    Attributes:
        file: Its path.
        bytes: Its size.
        lines: How many objects it holds; None if it is damaged.
        sha256: The checksum of the file, in hexadecimal.
        reason: What is wrong with it, if it is damaged.
    """

    file: Path
    bytes: int
    lines: int | None
    sha256: str
    reason: str = ""


def get(  # noqa: PLR0913  the arguments of a command
    ctx: typer.Context,
    file_type: FileType,
    day: Day,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A file or a folder; by default, the current folder.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Get what Firestream sent for it that was not whole, as it was received.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Download and verify one backup. The file only appears once it is complete.

    [dim]relay get message 2016-12-05
    relay get activity 2016-12-05 -o backups/
    relay get message 2016-12-05 --damaged[/dim]
    """
    context: Context = ctx.obj
    backup = calendar.parse_backup(file_type, day)
    target = _target(backup, output, damaged=damaged)
    if target.exists() and not force:
        raise Failure(f"{target} already exists: name another file with -o, or overwrite it with --force.", USAGE)
    with StoredBackup(context.stack, backup, damaged=damaged) as stored:
        bar = Progress(
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=context.notes,
            transient=True,
            disable=stored.size < LARGE_BYTES or not context.notes.is_terminal,
        )
        with bar:
            task = bar.add_task("", total=stored.size)
            copy = _copy(backup, stored, target, lambda size: bar.advance(task, size), damaged=damaged)
    if json:
        print_json(copy)
    else:
        content = "as received, not whole" if copy.lines is None else f"{copy.lines:,} lines, complete"
        reason = f": {one_line(copy.reason, 1000)}" if copy.reason else ""
        text = f"{one_line(str(target))}: {decimal(copy.bytes)}, {content}{reason}."
        context.console.print(text, soft_wrap=True)


def _target(backup: Backup, output: Path | None, *, damaged: bool) -> Path:
    name = Path(backup.key).name
    if damaged:
        name = f"{name.removesuffix('.gz')}.damaged.gz"
    target = Path(name) if output is None else output / name if output.is_dir() else output
    if not target.parent.is_dir():
        raise Failure(f"There is no folder {target.parent}: create it first.", USAGE)
    return target


def _copy(
    backup: Backup, stored: StoredBackup, target: Path, on_progress: Callable[[int], object], *, damaged: bool
) -> Copy:
    """Copy it to a temporary file beside the target, and rename that once it is complete.

    Raises:
        Failure: It is damaged, or cannot be written; nothing is left behind.
    """
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb", opener=for_the_owner) as file:
            reader = _CopyingReader(stored, file, on_progress)
            lines = None if damaged else verify(reader).lines
            if damaged:
                drain(reader)
            reader.check()
            share(file)
        part.replace(target)
    except Corrupt as error:
        what = "was not received as it is kept" if damaged else "is damaged"
        raise Failure(
            f"{one_line(str(backup))} {what}: {one_line(error.reason)}. Nothing was kept; try again.", FAILED
        ) from None
    except OSError as error:
        raise Failure(f"{target} cannot be written: {error.strerror or error}.", FAILED) from None
    finally:
        part.unlink(missing_ok=True)
    return Copy(target, reader.bytes, lines, reader.sha256.hexdigest(), stored.reason if damaged else "")


class _CopyingReader(MeasuredReader):
    """Reads a backup, and writes what it reads to a file."""

    def __init__(self, stored: StoredBackup, file: BinaryIO, on_progress: Callable[[int], object]) -> None:
        super().__init__(stored, on_progress)
        self._backup = stored
        self._file = file

    def check(self) -> None:
        """Check size and checksum; raises `Corrupt`."""
        if self.bytes != self._backup.size:
            raise Corrupt(f"{self.bytes:,} of its {self._backup.size:,} bytes were received")
        if self._backup.sha256 not in {None, self.sha256.hexdigest()}:
            raise Corrupt("its bytes do not match the sha256 in its tag")

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  as in the parent
        """Read, and write the same bytes to the file."""
        size = super().readinto(buffer)
        with buffer[:size] as piece:
            self._file.write(piece)
        return size
