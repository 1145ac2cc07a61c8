"""Let the operator edit a text in an editor, as ``git commit`` and ``crontab -e`` do."""

from __future__ import annotations

import os
import shlex
import subprocess  # nosec B404
import tempfile
from pathlib import Path

from relay_cli.failure import FAILED, USAGE, Failure
from relay_cli.files import for_the_owner

VARIABLES = ("VISUAL", "EDITOR")
"""The environment variables that may name the editor, with its options; the first that is set counts."""

DEFAULT = "vi"
"""The editor that POSIX systems have."""


def edit(text: str, suffix: str) -> str:
    """Open a text in the editor, and return it as it was saved.

    Args:
        text: The text.
        suffix: How the file's name ends, such as ``.json``, by which editors know its language.

    Raises:
        Failure: There is no such editor, it failed, or what it saved is not UTF-8 text.
    """
    command = next(filter(None, map(os.environ.get, VARIABLES)), DEFAULT)
    with tempfile.TemporaryDirectory(prefix="relay-") as folder:
        file = Path(folder) / f"alert{suffix}"
        with open(file, "x", encoding="utf-8", newline="", opener=for_the_owner) as writer:
            writer.write(text)
        try:
            code = subprocess.run([*shlex.split(command), str(file)], check=False).returncode  # noqa: S603  # nosec B603
            edited = file.read_bytes().decode()
        except UnicodeDecodeError:
            raise Failure("What the editor saved is not UTF-8 text.", USAGE) from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise Failure(
                f"The editor {command} cannot be used: {reason}. Name another one in the environment variable EDITOR.",
                USAGE,
            ) from None
    if code:
        raise Failure(f"The editor {command} ended with the code {code}.", FAILED)
    return edited
