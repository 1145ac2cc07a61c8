"""Files: reading those that the operator names, and permissions.

The command's own files are private; files the operator asked for follow the umask.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from relay_cli.failure import USAGE, Failure

if TYPE_CHECKING:
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
