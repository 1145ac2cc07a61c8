"""``relay cat``: the lines of one backup, as they stream by."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, cast

import msgspec
import typer
from relay.backups.reader import read_backup
from relay.errors import Corrupt, Reject

from relay_cli.commands.options import Day, FileType  # noqa: TC001  typer reads them
from relay_cli.deployed import calendar
from relay_cli.deployed.backup_file import StoredBackup
from relay_cli.failure import FAILED, USAGE, Failure
from relay_cli.output import ascii_json, write_lines
from relay_cli.text import Escapes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relay_cli.context import Context

_ESCAPES = Escapes({ord("\\"): "\\\\"})


def cat(
    ctx: typer.Context,
    file_type: FileType,
    day: Day,
    *,
    fields: Annotated[
        str | None, typer.Option(help="Print these, with tabs between them: id,body,symbols.symbol.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Print no more lines than this.")] = None,
) -> None:
    r"""Print the lines of one backup: its JSON, or some fields of it.

    The JSON has the values that are stored, in ASCII: other characters are escaped, as in \u00eb.

    A dot leads into an object, and into each object of a list, whose values then have commas between them.
    A field that is not there is empty. Within a value, \t is a tab, \n and \r end a line, a backslash is doubled;
    what would steer your terminal is escaped, as in \x1b or \u202e.

    [dim]relay cat message 2016-12-05 --limit 10
    relay cat message 2016-12-05 --fields id,user.username,symbols.symbol,body | grep AAPL[/dim]
    """
    context: Context = ctx.obj
    backup = calendar.parse_backup(file_type, day)
    columns = Columns(fields) if fields is not None else None
    with StoredBackup(context.stack, backup) as stored:
        try:
            rows = columns.rows(stored) if columns else _lines(stored)
            write_lines(islice(rows, limit))
        except Corrupt as error:
            raise Failure(f"{backup} is damaged, what came before may be too: {error.reason}.", FAILED) from None
        except Reject as error:
            raise Failure(f"{backup} is no list of JSON objects: {error.reason}.", FAILED) from None
    if columns and columns.unknown:
        context.notes.print(f"No line has {', '.join(columns.unknown)}.")


def _lines(stored: StoredBackup) -> Iterator[bytes]:
    return map(ascii_json, map(bytes, read_backup(cast("BinaryIO", stored), type=msgspec.Raw)))


class Columns:
    """Some fields of each line, with tabs between them.

    Attributes:
        unknown: Those that no line had so far.
    """

    def __init__(self, fields: str) -> None:
        """Read a list such as ``id,symbols.symbol``; raises `Failure` when a name in it is empty."""
        names = [name.strip() for name in fields.split(",")]
        self._paths = [name.split(".") for name in names]
        if not all(part for path in self._paths for part in path):
            raise Failure(f"--fields: {fields!r} has an empty name; give some such as id,body,symbols.symbol.", USAGE)
        self.unknown = dict.fromkeys(names)
        # Only what is asked for is decoded: several times as fast as everything.
        tops = dict.fromkeys(path[0] for path in self._paths)
        self._attributes = {name: f"field_{number}" for number, name in enumerate(tops)}
        self._line = msgspec.defstruct(
            "Line",
            [(attribute, Any, msgspec.UNSET) for attribute in self._attributes.values()],
            rename={attribute: name for name, attribute in self._attributes.items()},
        )

    def rows(self, stored: StoredBackup) -> Iterator[bytes]:
        """Yield a row for each line."""
        for line in read_backup(cast("BinaryIO", stored), type=self._line):
            yield "\t".join(self._cell(line, path) for path in self._paths).encode()

    def _cell(self, line: object, path: Sequence[str]) -> str:
        values = list(_values(getattr(line, self._attributes[path[0]]), path[1:]))
        if values and self.unknown:
            self.unknown.pop(".".join(path), None)
        return ",".join(map(_text, values))


def _values(value: object, path: Sequence[str]) -> Iterator[object]:
    """Yield what a path leads to: nothing, one value, or those of a list's entries."""
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
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if text.isprintable() and "\\" not in text else text.translate(_ESCAPES)
