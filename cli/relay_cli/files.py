"""The rights of files: the command's own are for the owner alone, what was asked for is as any other file."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

OWNER_ALONE = 0o600
"""Nobody else on this machine reads it."""


def for_the_owner(path: str, flags: int) -> int:
    """Open a new file for the owner alone, whatever the umask; an opener as `open` takes it."""
    file = os.open(path, flags, OWNER_ALONE)
    with suppress(PermissionError):  # some file systems keep no rights
        os.fchmod(file, OWNER_ALONE)  # the umask may have taken rights from the owner, too
    return file


def share(file: BinaryIO) -> None:
    """Give an open file that was the owner's alone the rights that the umask gives any other.

    Not by its name: in a folder that others may write to, that may be a link to another file by now.
    """
    umask = os.umask(0o077)  # the only way to ask for it is to set it
    os.umask(umask)
    with suppress(PermissionError):
        os.fchmod(file.fileno(), 0o666 & ~umask)
