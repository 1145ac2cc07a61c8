"""The days there are backups of: what was put there, what is made up, and what is missing."""

from __future__ import annotations

import hashlib
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from time import time
from typing import TYPE_CHECKING

from local.stand_ins.firestream import data

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


@dataclass(eq=False, repr=False)
class Settings:
    """What the stand-in goes by.

    A day exists from `first_day` to `last_day`, or, without one, until `lag_days` before `today` (without one, the
    clock's date in UTC), unless it is `missing`: for every file type, or as a pair for one. What was put exists always.
    """

    port: int = 0
    link_port: int = 0
    _: KW_ONLY
    username: str = "demo-user"
    password: str = "demo-password"
    link_seconds: float = 300.0
    first_day: date = data.FIRST_DAY
    last_day: date | None = None
    lag_days: int = 1
    today: date | None = None
    missing: Collection[date | tuple[str, date]] = field(default_factory=frozenset)
    messages_per_day: int = 2000
    activities_per_day: int = 4000
    clock: Callable[[], float] = time

    @property
    def url(self) -> str:
        """The root of the API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def link_url(self) -> str:
        """The root of the host that the links lead to."""
        return f"http://127.0.0.1:{self.link_port}"

    def exists(self, file_type: str, day: date) -> bool:
        """Whether there is a backup of this day to be made up."""
        today = self.today or datetime.fromtimestamp(self.clock(), UTC).date()
        last = self.last_day or today - timedelta(days=self.lag_days)
        return self.first_day <= day <= last and not {day, (file_type, day)} & set(self.missing)


@dataclass(frozen=True)
class Backup:
    """A stored object: its bytes, or the file that holds them, and what is told of them."""

    content: bytes | Path = field(repr=False)
    modified: float
    encoding: str | None = None
    measured: bool = True

    @cached_property
    def size(self) -> int:
        """How many bytes it has."""
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)

    @cached_property
    def etag(self) -> str:
        """The tag of these bytes, in the form of an upload in three parts, so no MD5 of the whole."""
        if isinstance(self.content, Path):
            state = self.content.stat()
            identity = f"{self.content} {state.st_size} {state.st_mtime_ns}".encode()
        else:
            identity = self.content
        return f'"{hashlib.md5(identity, usedforsecurity=False).hexdigest()}-3"'

    def read(self) -> bytes:
        """All bytes."""
        return self.content.read_bytes() if isinstance(self.content, Path) else self.content


class Days:
    """The backups of all days."""

    def __init__(self, settings: Settings) -> None:
        """Begin with nothing put."""
        self._settings = settings
        self._put: dict[tuple[str, date], Backup] = {}

    def put(self, file_type: str, day: date, content: bytes | Path) -> None:
        """Give a day exactly this content."""
        if file_type not in data.FILE_TYPES:
            raise ValueError(f"There are backups of {data.FILE_TYPES}, not of {file_type}")
        if isinstance(content, Path) and not content.is_file():
            raise FileNotFoundError(content)
        self._put[file_type, day] = Backup(content, self._settings.clock())

    def find(self, file_type: str, day: date) -> Backup | None:
        """The backup of a day, if there is one."""
        if put := self._put.get((file_type, day)):
            return put
        if not self._settings.exists(file_type, day):
            return None
        own = self._settings
        return _made_up(file_type, day, own.messages_per_day if file_type == data.MESSAGE else own.activities_per_day)


def _made_up(file_type: str, day: date, count: int) -> Backup:
    morning_after = datetime(day.year, day.month, day.day, 3, tzinfo=UTC) + timedelta(days=1)
    return Backup(data.backup(file_type, day, count), morning_after.timestamp())
