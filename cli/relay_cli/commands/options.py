"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from relay.backups.backup import FILE_TYPES

from relay_cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

FAILURES_SHOWN = 5
"""How many failures are shown with their reasons; a refused login fails thousands in the same way."""


def parsed_by(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Let typer name the option whose value cannot be parsed; `parse` raises `Failure`."""

    def parser(text: str) -> _T:
        try:
            return parse(text)
        except Failure as failure:
            raise typer.BadParameter(failure.reason) from None

    return parser


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Show no more than so many.")]


FromFile = Annotated[str | None, typer.Option("--from", hidden=True, help="An earlier name of --file.")]


Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="message or activity; by default, the types that the stack keeps.",
        autocompletion=lambda: FILE_TYPES,
    ),
]


FileType = Annotated[
    str, typer.Argument(metavar="TYPE", help="message or activity.", autocompletion=lambda: FILE_TYPES)
]


Day = Annotated[str, typer.Argument(metavar="DAY", help="The day, such as 2016-12-05.")]


Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE|FOLDER/|-",
        help="A file, a folder, or - for standard output; by default, the current folder.",
        show_default=False,
    ),
]


STANDARD_OUTPUT = "-"
"""What `Output` is for standard output."""


Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
