"""The backups of each day: stored ones, synthetic ones, and missing ones."""

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
    import ssl
    from collections.abc import Callable, Collection, Sequence


@dataclass(eq=False, repr=False)
class Settings:
    """The settings of the stand-in.

    There are backups from `first_day` to `last_day`, by default until `lag_days` before `today` (by default the clock's
    date in UTC), except for the days in `missing`, for every file type, or as a pair for one. A backup that was put
    always exists. With the seed `contrary`, the share `contrary_share` of requests, of files and of habits of the run
    each get one of the behaviours in `contrary_behaviours` (empty for all). With `tls`, the API has TLS, but its links
    do not.
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
    contrary: int | None = None
    contrary_share: float = 0.2
    contrary_behaviours: Sequence[str] = ()
    tls: ssl.SSLContext | None = None
    clock: Callable[[], float] = time

    @property
    def url(self) -> str:
        """The root URL of the API."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def link_url(self) -> str:
        """The root URL of the host of the links."""
        return f"http://127.0.0.1:{self.link_port}"

    def exists(self, file_type: str, day: date) -> bool:
        """Return whether there is a synthetic backup of this day."""
        today = self.today or datetime.fromtimestamp(self.clock(), UTC).date()
        last = self.last_day or today - timedelta(days=self.lag_days)
        return self.first_day <= day <= last and not {day, (file_type, day)} & set(self.missing)


@dataclass(frozen=True)
class Backup:
    """A stored object: its bytes, or the file with them, and its metadata."""

    content: bytes | Path = field(repr=False)
    modified: float
    encoding: str | None = None
    measured: bool = True

    @cached_property
    def size(self) -> int:
        """Its size in bytes."""
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)

    @cached_property
    def etag(self) -> str:
        """The ETag, in the format of an upload in three parts, which is not an MD5 of the content."""
        if isinstance(self.content, Path):
            state = self.content.stat()
            identity = f"{self.content} {state.st_size} {state.st_mtime_ns}".encode()
        else:
            identity = self.content
        return f'"{hashlib.md5(identity, usedforsecurity=False).hexdigest()}-3"'

    def read(self) -> bytes:
        """Return the whole content."""
        return self.content.read_bytes() if isinstance(self.content, Path) else self.content


class Days:
    """The backups of all days."""

    def __init__(self, settings: Settings) -> None:
        """Start without stored backups."""
        self._settings = settings
        self._put: dict[tuple[str, date], list[tuple[float, Backup | None]]] = {}

    def put(self, file_type: str, day: date, content: bytes | Path | None, at: float | None = None) -> None:
        """Store this content as the backup of a day, or None for no backup.

        Without `at`, it replaces all others; with it, seconds since the epoch, it replaces them from then on.
        """
        if file_type not in data.FILE_TYPES:
            raise ValueError(f"There are backups of {data.FILE_TYPES}, not of {file_type}")
        if isinstance(content, Path) and not content.is_file():
            raise FileNotFoundError(content)
        modified = self._settings.clock() if at is None else at
        backup = None if content is None else Backup(content, modified)
        earlier = [] if at is None else self._put.get((file_type, day), [])
        starts = float("-inf") if at is None else at
        self._put[file_type, day] = sorted([*earlier, (starts, backup)], key=lambda each: each[0])

    def find(self, file_type: str, day: date) -> Backup | None:
        """Return the backup of a day, if there is one."""
        now = self._settings.clock()
        if put := [backup for starts, backup in self._put.get((file_type, day), []) if starts <= now]:
            return put[-1]
        if not self._settings.exists(file_type, day):
            return None
        own = self._settings
        return _synthetic(file_type, day, own.messages_per_day if file_type == data.MESSAGE else own.activities_per_day)


def _synthetic(file_type: str, day: date, count: int) -> Backup:
    morning_after = datetime(day.year, day.month, day.day, 3, tzinfo=UTC) + timedelta(days=1)
    return Backup(data.backup(file_type, day, count), morning_after.timestamp())
