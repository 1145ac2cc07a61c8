"""Archives for the queries of docs/athena.md, and the rows that these give."""

import gzip
import json
from datetime import date
from typing import Any

from relay.backups.backup import Backup

from local.stand_ins import athena

TABLES = athena.tables()
STATEMENTS = athena.documented()

DAY, NEXT_DAY = date(2016, 12, 5), date(2016, 12, 6)


def key_of(file_type: str, day: date) -> str:
    """The key that the function gives a backup."""
    return Backup(file_type=file_type, day=day).key


def stored(file_type: str, day: date, *lines: Any) -> dict[str, bytes]:
    """A backup as it is in the bucket: each line as it is if it is text or bytes, otherwise as JSON."""
    texts = [line if isinstance(line, str | bytes) else json.dumps(line) for line in lines]
    text = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in texts)
    return {key_of(file_type, day): gzip.compress(text)}


def rows(sql: str, archive: dict[str, bytes]) -> list[tuple[Any, ...]]:
    """What Athena answers to the last of these statements."""
    return [tuple(row.values()) for row in athena.answer(sql, archive, TABLES)]
