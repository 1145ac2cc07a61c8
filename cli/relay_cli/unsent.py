"""Keep the unsent lines of a file in another file: sending the whole file again would post the others twice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from relay_cli.failure import FAILED, Failure
from relay_cli.files import for_the_owner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay_cli.drafts import Draft, InvalidLine


def keep(file: str, drafts: Sequence[Draft], invalid: Sequence[InvalidLine]) -> Path:
    """Write the lines that were not sent to a new file in the current folder; existing files stay.

    Each message includes its key: if SQS accepted it after all, and only the response was lost, it is posted once.

    Args:
        file: The file that the lines come from, ``-`` for standard input.
        drafts: Its unsent messages.
        invalid: Its invalid lines.

    Returns:
        The path of the new file.

    Raises:
        Failure: The file cannot be written; the reason names the lines.
    """
    lines = {each.line: each.line_with_key for each in drafts} | {each.line: each.content for each in invalid}
    try:
        with _create("relay" if file == "-" else Path(file).stem) as output:
            output.writelines(lines[number] + b"\n" for number in sorted(lines))
    except OSError as error:
        numbers = ", ".join(map(str, sorted(lines)))
        raise Failure(
            f"These lines were not sent, and could not be written to this folder ({error.strerror}): {numbers}.\n"
            "Send only these lines: the others are queued.",
            FAILED,
        ) from None
    return Path(output.name)


def _create(stem: str) -> BinaryIO:
    """Create a new file that only the owner can read: its alerts are not published yet."""
    number = ""
    while True:
        try:
            return open(f"{stem}.unsent{number}.jsonl", "xb", opener=for_the_owner)
        except FileExistsError:
            number = str(int(number or 1) + 1)
