"""Files: reading those that the operator names, and permissions.

The command's own files are private; files the operator asked for follow the umask.
"""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from relay_cli.failure import FAILED, USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

OWNER_ALONE = 0o600
"""Only the owner can read and write it."""


def read_input(file: str) -> bytes:
    """Read a file that the operator named; ``-`` is standard input.

    Raises:
        Failure: It cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}.", USAGE) from None


def for_the_owner(path: str, flags: int) -> int:
    """Create a file that only the owner can use, whatever the umask; an `opener` for `open`."""
    file = os.open(path, flags, OWNER_ALONE)
    with suppress(PermissionError):  # some file systems have no permissions
        os.fchmod(file, OWNER_ALONE)  # the umask may restrict the owner, too
    return file


def share(file: BinaryIO) -> None:
    """Give an open private file the permissions of any new file under the umask.

    Not by its name, which may have become a link to another file in a folder that others can write to.
    """
    umask = os.umask(0o077)  # it can only be read by setting it
    os.umask(umask)
    with suppress(PermissionError):
        os.fchmod(file.fileno(), 0o666 & ~umask)


def file_in(output: str | None, name: str) -> Path:
    """Return the path that ``--output`` means for a file.

    Args:
        output: A file, a folder, or a folder to be made, which ends with a slash; None for the current folder.
        name: The name of the file in a folder.

    Raises:
        Failure: There is no such folder, or it cannot be made.
    """
    if output is None:
        return Path(name)
    target = made_folder(output) / name if output.endswith(("/", os.sep)) or Path(output).is_dir() else Path(output)
    if not target.parent.is_dir():
        raise Failure(f"There is no folder {target.parent}: create it first.", USAGE)
    return target


def made_folder(output: str) -> Path:
    """Return a folder, and make it if it is not there; raises `Failure` if that is not possible."""
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"The folder {folder} cannot be used: {error.strerror}.", USAGE) from None
    return folder


@contextmanager
def complete_file(target: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside the target, which is renamed to it once the block ends; without it after an error.

    Raises:
        Failure: It cannot be written.
    """
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb", opener=for_the_owner) as file:
            yield file
            share(file)
        part.replace(target)
    except OSError as error:
        raise Failure(f"{target} cannot be written: {error.strerror or error}.", FAILED) from None
    finally:
        part.unlink(missing_ok=True)
