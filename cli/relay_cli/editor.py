"""Let the operator edit a text in an editor, as ``git commit`` and ``crontab -e`` do."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess  # nosec B404
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from relay_cli.failure import FAILED, USAGE, Failure
from relay_cli.files import for_the_owner

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLES = ("VISUAL", "EDITOR")
"""The environment variables that may name the editor, with its options; the first that is set counts."""

DEFAULT = "vi"
"""The editor that POSIX systems have."""


class EditorFailure(Failure):
    """The editor failed, or what it saved is not UTF-8 text.

    Attributes:
        text: What it saved; what is not UTF-8 is escaped.
    """

    def __init__(self, reason: str, code: int, text: str) -> None:
        """Create the failure."""
        super().__init__(reason, code)
        self.text = text


def edit(text: str, suffix: str) -> str:
    """Open a text in the editor, and return it as it was saved.

    Args:
        text: The text.
        suffix: How the file's name ends, such as ``.json``, by which editors know its language.

    Raises:
        Failure: There is no such editor.
        EditorFailure: It failed, or what it saved is not UTF-8 text.
    """
    command = next(filter(None, map(os.environ.get, VARIABLES)), DEFAULT)
    with tempfile.TemporaryDirectory(prefix="relay-") as folder:
        file = Path(folder) / f"alert{suffix}"
        with open(file, "x", encoding="utf-8", newline="", opener=for_the_owner) as writer:
            writer.write(text)
        try:
            with _ignoring_ctrl_c():
                code = subprocess.run([*shlex.split(command), str(file)], check=False).returncode  # noqa: S603  # nosec B603
            saved = file.read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise Failure(
                f"The editor {command} cannot be used: {reason}. Name another one in the environment variable EDITOR.",
                USAGE,
            ) from None
    readable = saved.decode(errors="backslashreplace")
    if code:
        raise EditorFailure(f"The editor {command} ended with the code {code}.", FAILED, readable)
    try:
        return saved.decode()
    except UnicodeDecodeError:
        raise EditorFailure("What the editor saved is not UTF-8 text.", USAGE, readable) from None


@contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    """Leave Ctrl-C to the editor, where it does not mean to end: the terminal sends it to both.

    A handler that does nothing, unlike one that ignores the signal, is not inherited by the editor.
    """
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
