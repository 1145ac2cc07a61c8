"""What of a file was not sent, kept in a file of its own: to send the whole file again would post the rest twice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from relay_cli.failure import FAILED, Failure
from relay_cli.files import for_the_owner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay_cli.drafts import Draft, InvalidLine


def keep(file: str, drafts: Sequence[Draft], wrong: Sequence[InvalidLine]) -> Path:
    """Write a file, in this folder, of the lines that were not sent; what is there already stays.

    Each message has its key in it: if it was taken after all, and only the answer was lost, it is posted once all the
    same.

    Args:
        file: Where the lines are from, ``-`` for a pipe.
        drafts: Messages of it.
        wrong: Lines of it that are none.

    Returns:
        Its name.

    Raises:
        Failure: It cannot be written; the reason names the lines.
    """
    lines = {each.line: each.again for each in drafts} | {each.line: each.content for each in wrong}
    try:
        with _fresh("relay" if file == "-" else Path(file).stem) as unsent:
            unsent.writelines(lines[number] + b"\n" for number in sorted(lines))
    except OSError as error:
        numbers = ", ".join(map(str, sorted(lines)))
        raise Failure(
            f"These lines were not sent, and could not be kept in this folder ({error.strerror}): {numbers}.\n"
            "Send them alone: the others are queued.",
            FAILED,
        ) from None
    return Path(unsent.name)


def _fresh(stem: str) -> BinaryIO:
    """Open a file that is not there yet; nobody else reads alerts that were not published yet."""
    number = ""
    while True:
        try:
            return open(f"{stem}.unsent{number}.jsonl", "xb", opener=for_the_owner)
        except FileExistsError:
            number = str(int(number or 1) + 1)
