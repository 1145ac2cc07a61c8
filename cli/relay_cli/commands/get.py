"""``relay get``: download backups, each completely or not at all."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer
from relay.backups.backup import Backup, days
from relay.backups.gunzip import drain
from relay.backups.verifier import verify
from relay.errors import Corrupt
from rich.filesize import decimal

from relay_cli.commands.options import STANDARD_OUTPUT, FileType, Force, Output
from relay_cli.deployed import calendar
from relay_cli.deployed.backup_file import MeasuredReader, StoredBackup
from relay_cli.failure import FAILED, USAGE, Failure
from relay_cli.files import file_in, for_the_owner, made_folder, share
from relay_cli.output import binary_output, goes_to_a_terminal, print_json
from relay_cli.progress import transfer_bar
from relay_cli.text import count, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relay_cli.context import Context

NAMED = 10
"""How many days that are not stored are named; the others are counted."""


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
    day: Annotated[
        str | None, typer.Argument(metavar="DAY", help="The day, such as 2016-12-05.", show_default=False)
    ] = None,
    *,
    first_day: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="Get several days: the first one.")
    ] = None,
    last_day: Annotated[str | None, typer.Option("--to", metavar="DAY", help="The last one.")] = None,
    output: Output = None,
    force: Force = False,
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Get what Firestream sent for it that was not whole, as it was received.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Download and verify one backup, or several. A file only appears once it is complete.

    Of several days, those that are not stored are named, and files that are already there are left as they are.

    [dim]relay get message 2016-12-05
    relay get activity 2016-12-05 -o backups/
    relay get message 2016-12-05 -o - | zcat | wc -l
    relay get message --from 2016-12-01 --to 2016-12-31 -o backups/
    relay get message 2016-12-05 --damaged[/dim]
    """
    context: Context = ctx.obj
    if day is None:
        if first_day is None or last_day is None:
            raise Failure("Give a day, or the first and the last one with --from and --to.", USAGE)
        if damaged:
            raise Failure("--damaged gets one day: name it without --from and --to.", USAGE)
        period = calendar.parse_period(first_day, last_day, [file_type])
        backups = [Backup(each, file_type) for each in days(period.first_day, period.last_day)]
        _get_days(context, backups, output, force=force, json=json)
        return
    if first_day or last_day:
        raise Failure(f"Give either {one_line(day, 80)}, or --from and --to.", USAGE)
    backup = calendar.parse_backup(file_type, day)
    if output == STANDARD_OUTPUT:
        _write(context, backup, damaged=damaged, json=json)
        return
    target = _target(backup, output, damaged=damaged)
    if target.exists() and not force:
        raise Failure(f"{target} already exists: name another file with -o, or overwrite it with --force.", USAGE)
    with StoredBackup(context.stack, backup, damaged=damaged) as stored:
        bar = transfer_bar(context.notes, stored.size)
        with bar:
            task = bar.add_task("", total=stored.size)
            copy = _copy(backup, stored, target, lambda size: bar.advance(task, size), damaged=damaged)
    if json:
        print_json(copy)
    else:
        _print(context, copy)


def _write(context: Context, backup: Backup, *, damaged: bool, json: bool) -> None:
    """Write a backup to standard output while it is read.

    Raises:
        Failure: Standard output is a terminal or has other content, or the backup is damaged, which shows at its end.
    """
    if json:
        raise Failure("--json and -o - cannot be combined: both use standard output.", USAGE)
    if goes_to_a_terminal():
        raise Failure("A terminal cannot show a gzip file: use `relay cat`, or write -o - to a file or a pipe.", USAGE)
    with StoredBackup(context.stack, backup, damaged=damaged) as stored:
        reader = _CopyingReader(stored, binary_output(), lambda _: None)
        try:
            if damaged:
                drain(reader)
            else:
                verify(reader)
            reader.check()
        except Corrupt as error:
            raise Failure(
                f"{one_line(str(backup))} is damaged: {one_line(error.reason)}. Discard the output.", FAILED
            ) from None


def _get_days(context: Context, backups: Sequence[Backup], output: str | None, *, force: bool, json: bool) -> None:
    """Download those that are stored into a folder.

    Raises:
        Failure: None is stored, some are damaged, or the folder cannot be used.
    """
    stack, first, last = context.stack, backups[0], backups[-1]
    there = calendar.stored(stack, backups)
    explain = f"`relay backups --type {first.file_type} --from {first.day} --to {last.day}` says why"
    if not there:
        raise Failure(f"None of these days is stored: {explain}.", FAILED)
    if output == STANDARD_OUTPUT:
        raise Failure("-o - gets one day: name a folder for several.", USAGE)
    folder = made_folder(output or "")
    wanted = [each for each in backups if each in there and (force or not (folder / Path(each.key).name).exists())]
    copies: list[Copy] = []
    failed = 0
    bar = transfer_bar(context.notes, sum(there[each].bytes for each in wanted))
    with bar:
        task = bar.add_task("", total=sum(there[each].bytes for each in wanted))
        for each in wanted:
            bar.update(task, description=each.day.isoformat())
            try:
                with StoredBackup(stack, each) as stored:
                    target = folder / Path(each.key).name
                    copies.append(_copy(each, stored, target, lambda size: bar.advance(task, size), damaged=False))
            except Failure as failure:
                failed += 1
                context.notes.print(failure.reason, style="yellow", soft_wrap=True)
    if json:
        print_json(copies)
    else:
        for copy in copies:
            _print(context, copy)
    if len(wanted) < len(there):
        present = len(there) - len(wanted)
        context.notes.print(f"{count(present, 'file')} {'was' if present == 1 else 'were'} already there.")
    if len(there) < len(backups):
        missing = [each.day.isoformat() for each in backups if each not in there]
        more = "" if len(missing) <= NAMED else f" and {len(missing) - NAMED} more"
        text = f"Not stored: {', '.join(missing[:NAMED])}{more}; {explain}."
        context.notes.print(text, style="yellow", soft_wrap=True)
    if failed:
        raise Failure(f"{count(failed, 'backup')} of {len(wanted)} could not be downloaded.", FAILED)


def _print(context: Context, copy: Copy) -> None:
    content = "as received, not whole" if copy.lines is None else f"{copy.lines:,} lines, complete"
    reason = f": {one_line(copy.reason, 1000)}" if copy.reason else ""
    text = f"{one_line(str(copy.file))}: {decimal(copy.bytes)}, {content}{reason}."
    context.console.print(text, soft_wrap=True)


def _target(backup: Backup, output: str | None, *, damaged: bool) -> Path:
    name = Path(backup.key).name
    if damaged:
        name = f"{name.removesuffix('.gz')}.damaged.gz"
    return file_in(output, name)


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
