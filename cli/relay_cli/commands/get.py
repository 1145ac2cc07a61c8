"""``relay get``: one backup as a file, whole or not at all."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from relay.backups.verifier import verify
from relay.errors import Corrupt
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from relay_cli.commands.options import Day, FileType  # noqa: TC001  typer reads them
from relay_cli.deployed import calendar
from relay_cli.deployed.backup_file import StoredBackup
from relay_cli.failure import FAILED, USAGE, Failure
from relay_cli.files import for_the_owner, share
from relay_cli.output import print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.backups.backup import Backup

    from relay_cli.context import Context

LARGE_BYTES = 8_000_000
"""From here on a bar is shown: less is there at once."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A backup on this machine.

    Attributes:
        file: Where it is.
        bytes: Its size.
        lines: How many objects it holds.
        sha256: Of the file, in hexadecimal.
    """

    file: Path
    bytes: int
    lines: int
    sha256: str


def get(  # noqa: PLR0913  the arguments of a command
    ctx: typer.Context,
    file_type: FileType,
    day: Day,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file or a folder; else this folder.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Download one backup, verified: the file appears when it is whole.

    [dim]relay get message 2016-12-05
    relay get activity 2016-12-05 -o backups/[/dim]
    """
    context: Context = ctx.obj
    backup = calendar.parse_backup(file_type, day)
    target = _target(backup, output)
    if target.exists() and not force:
        raise Failure(f"{target} is there already: name another with -o, or overwrite it with --force.", USAGE)
    with StoredBackup(context.stack, backup) as stored:
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
            copy = _copy(backup, stored, target, lambda size: bar.advance(task, size))
    if json:
        print_json(copy)
    else:
        words = f"{target}: {decimal(copy.bytes)}, {copy.lines:,} lines, whole."
        context.console.print(words, soft_wrap=True)


def _target(backup: Backup, output: Path | None) -> Path:
    name = Path(backup.key).name
    target = Path(name) if output is None else output / name if output.is_dir() else output
    if not target.parent.is_dir():
        raise Failure(f"There is no folder {target.parent}: make it first.", USAGE)
    return target


def _copy(backup: Backup, stored: StoredBackup, target: Path, tell: Callable[[int], object]) -> Copy:
    """Copy it to a file beside the target, and give it its name once it is whole.

    Raises:
        Failure: It is not whole, or cannot be written; nothing is left behind.
    """
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb", opener=for_the_owner) as file:
            copying = _CopyingReader(stored, file, tell)
            lines = verify(copying).lines
            copying.check()
            share(file)
        part.replace(target)
    except Corrupt as error:
        raise Failure(f"{backup} is not whole: {error.reason}. Nothing was kept; try again.", FAILED) from None
    except OSError as error:
        raise Failure(f"{target} cannot be written: {error.strerror or error}.", FAILED) from None
    finally:
        part.unlink(missing_ok=True)
    return Copy(target, copying.size, lines, copying.sha256.hexdigest())


class _CopyingReader:
    """Writes what is read."""

    def __init__(self, stored: StoredBackup, file: BinaryIO, tell: Callable[[int], object]) -> None:
        self._stored = stored
        self._file = file
        self._tell = tell
        self.size = 0
        self.sha256 = hashlib.sha256()

    def check(self) -> None:
        """Compare the whole with what S3 and the function say of it; raises `Corrupt`."""
        if self.size != self._stored.size:
            raise Corrupt(f"{self.size:,} of its {self._stored.size:,} bytes came")
        if self._stored.sha256 not in {None, self.sha256.hexdigest()}:
            raise Corrupt("its bytes do not have the sha256 of its tag")

    def readinto(self, buffer: memoryview) -> int:
        """Read, and write it down."""
        size = self._stored.readinto(buffer)
        with buffer[:size] as piece:
            self._file.write(piece)
            self.sha256.update(piece)
        self.size += size
        self._tell(size)
        return size
