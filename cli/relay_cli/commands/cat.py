"""``relay cat``: print the lines of one backup while they are read."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal, cast

import msgspec
import typer
from relay.backups.reader import read_backup
from relay.errors import Corrupt, Reject

from relay_cli.bad_lines import Errors, Skipped
from relay_cli.commands.options import Day, FileType  # noqa: TC001  typer reads them
from relay_cli.deployed import calendar
from relay_cli.deployed.backup_file import StoredBackup
from relay_cli.failure import FAILED, USAGE, Failure
from relay_cli.output import ascii_json, goes_to_a_terminal, write_lines
from relay_cli.text import Escapes, is_plain, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from relay.backups.reader import BadLine

    from relay_cli.context import Context

    OnError = Literal["raise"] | Callable[[BadLine], object]

_ESCAPES = Escapes({ord("\\"): "\\\\"})
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def cat(  # noqa: PLR0913  the arguments of a command
    ctx: typer.Context,
    file_type: FileType,
    day: Day,
    *,
    fields: Annotated[
        str | None,
        typer.Option(metavar="FIELD,...", help="Print these fields, separated by tabs: id,body,symbols.symbol."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="The maximum number of lines.")] = None,
    errors: Annotated[
        Errors, typer.Option(help="At a line that is not a JSON object: stop, or skip it and count it.")
    ] = Errors.RAISE,
) -> None:
    r"""Print the lines of one backup: its JSON, or some of its fields.

    The JSON goes into a file or a pipe as it is stored. On a terminal, it has the same values in ASCII: other
    characters are escaped, as in \u00eb.

    A dot selects a field of an object, or of each object in a list; the values of a list are separated by commas.
    A missing field is empty. Within a value, tabs and line breaks are escaped as \t, \n and \r, and backslashes are
    doubled; characters that would control your terminal are escaped, as in \x1b or \u202e.

    [dim]relay cat message 2016-12-05 --limit 10
    relay cat message 2016-12-05 --fields id,user.username,symbols.symbol,body | grep AAPL
    relay cat message 2016-12-05 --errors skip[/dim]
    """
    context: Context = ctx.obj
    backup = calendar.parse_backup(file_type, day)
    rows: Iterator[bytes]
    columns = Columns(fields) if fields is not None else None
    skipped = Skipped(context.notes)
    on_error: OnError = skipped if errors is Errors.SKIP else "raise"
    with StoredBackup(context.stack, backup) as stored:
        try:
            if columns:
                rows = columns.rows(stored, on_error)
            else:
                rows = map(bytes, read_backup(cast("BinaryIO", stored), type=msgspec.Raw, errors=on_error))
                if goes_to_a_terminal():
                    rows = map(ascii_json, rows)
            write_lines(islice(rows, limit))
        except Corrupt as error:
            raise Failure(
                f"{backup} is damaged, and so may be the lines above: {one_line(error.reason)}.", FAILED
            ) from None
        except RecursionError:
            raise Failure(f"{backup} has a line that is nested too deeply to be decoded.", FAILED) from None
        except Reject as error:
            raise Failure(
                f"{backup}, {one_line(error.reason)}. To read the other lines, add --errors skip.", FAILED
            ) from None
        finally:
            skipped.report()
    if columns and columns.unknown:
        context.notes.print(f"No line has {', '.join(columns.unknown)}.")


class Columns:
    """Some fields of each line, separated by tabs.

    Attributes:
        unknown: The fields that no line had so far.
    """

    def __init__(self, fields: str) -> None:
        """Parse a list such as ``id,symbols.symbol``; raises `Failure` if a name in it is empty."""
        names = [name.strip() for name in fields.split(",")]
        self._paths = [name.split(".") for name in names]
        if not all(part for path in self._paths for part in path):
            raise Failure(f"--fields: {fields!r} has an empty name; write for example id,body,symbols.symbol.", USAGE)
        self.unknown = dict.fromkeys(names)
        # Only these fields are decoded, which is several times as fast as decoding everything.
        tops = dict.fromkeys(path[0] for path in self._paths)
        self._attributes = {name: f"field_{number}" for number, name in enumerate(tops)}
        self._line = msgspec.defstruct(
            "Line",
            [(attribute, Any, msgspec.UNSET) for attribute in self._attributes.values()],
            rename={attribute: name for name, attribute in self._attributes.items()},
        )

    def rows(self, stored: StoredBackup, errors: OnError = "raise") -> Iterator[bytes]:
        """Yield a row for each line; `errors` as for `read_backup`."""
        for line in read_backup(cast("BinaryIO", stored), type=self._line, errors=errors):
            yield "\t".join(self._cell(line, path) for path in self._paths).encode()

    def _cell(self, line: object, path: Sequence[str]) -> str:
        values = list(_values(getattr(line, self._attributes[path[0]]), path[1:]))
        if values and self.unknown:
            self.unknown.pop(".".join(path), None)
        return ",".join(map(_text, values))


def _values(value: object, path: Sequence[str]) -> Iterator[object]:
    """Yield the values at a path: none, one, or one for each item of a list."""
    if isinstance(value, list):
        for each in value:
            yield from _values(each, path)
    elif not path:
        if value is not msgspec.UNSET:
            yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _values(value[path[0]], path[1:])


def _text(value: object) -> str:
    if value is None:
        return ""
    if type(value) is int:  # most often, and several times as fast
        return str(value)
    text = value if isinstance(value, str) else _json(value)
    return text if is_plain(text) and "\\" not in text else text.translate(_ESCAPES)
