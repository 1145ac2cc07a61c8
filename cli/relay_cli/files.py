"""File permissions: the command's own files are private; files the operator asked for follow the umask."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

OWNER_ALONE = 0o600
"""Only the owner can read and write it."""


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
