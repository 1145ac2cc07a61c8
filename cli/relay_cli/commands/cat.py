"""``relay cat``: print the lines of one backup while they are read."""

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
from relay_cli.text import Escapes, is_plain, one_line

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
        str | None, typer.Option(help="Print these fields, separated by tabs: id,body,symbols.symbol.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The maximum number of lines.")] = None,
) -> None:
    r"""Print the lines of one backup: its JSON, or some of its fields.

    The JSON has the stored values in ASCII: other characters are escaped, as in \u00eb.

    A dot selects a field of an object, or of each object in a list; the values of a list are separated by commas.
    A missing field is empty. Within a value, tabs and line breaks are escaped as \t, \n and \r, and backslashes are
    doubled; characters that would control your terminal are escaped, as in \x1b or \u202e.

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
            raise Failure(
                f"{backup} is damaged, and so may be the lines above: {one_line(error.reason)}.", FAILED
            ) from None
        except RecursionError:
            raise Failure(f"{backup} has a line that is nested too deeply to be decoded.", FAILED) from None
        except Reject as error:
            raise Failure(f"{backup} is not a list of JSON objects: {one_line(error.reason)}.", FAILED) from None
    if columns and columns.unknown:
        context.notes.print(f"No line has {', '.join(columns.unknown)}.")


def _lines(stored: StoredBackup) -> Iterator[bytes]:
    return map(ascii_json, map(bytes, read_backup(cast("BinaryIO", stored), type=msgspec.Raw)))


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
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if is_plain(text) and "\\" not in text else text.translate(_ESCAPES)
