"""The state of the stand-in: what was put, planned, granted and seen."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from local.stand_ins.firestream.days import Backup, Days, Settings
from local.stand_ins.firestream.faults import CONTENT_FAULTS, Fault, PlannedFault, plan, rewritten, spoil

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet
    from email.message import Message
    from pathlib import Path

_DATES = {"first_day", "last_day", "today"}
_COUNTS = {"lag_days", "messages_per_day", "activities_per_day"}
_CHANGEABLE = {"username", "password", "link_seconds", "missing", *_DATES, *_COUNTS}


@dataclass(frozen=True)
class SeenRequest:
    """A request as it arrived; `host` is "api" or "link", and `headers` are looked up whatever their case."""

    host: str
    method: str
    path: str
    query: dict[str, str]
    headers: Message
    at: float


@dataclass
class Link:
    """What a link leads to, and until when; `spoilt` is the fault of the content behind it."""

    file_type: str
    day: date
    path: str
    expires_at: float
    spoilt: PlannedFault | None


@dataclass(eq=False, repr=False)
class State(Settings):
    """What both hosts know; the settings may be changed while they run."""

    def __post_init__(self) -> None:
        """Begin with nothing put, seen or planned."""
        self._lock = threading.Lock()
        self._at_once = 0  # no reset ends a transfer
        self.reset()

    @property
    def requests(self) -> list[SeenRequest]:
        """The requests to both hosts so far, oldest first, refused ones too."""
        return list(self._requests)

    def put(self, file_type: str, day: date, content: bytes | Path) -> None:
        """Give a day exactly this content: bytes, or the file that holds them."""
        self.days.put(file_type, day, content)

    def content(self, file_type: str, day: date) -> bytes:
        """What a whole download of this day should leave behind; KeyError when there is no such backup."""
        backup = self.days.find(file_type, day)
        if backup is None:
            raise KeyError(file_type, day)
        return backup.read()

    def fail(
        self,
        fault: Fault | str,
        *,
        times: int | None = 1,
        file_type: str | None = None,
        day: date | str | None = None,
        **details: float | str | None,
    ) -> None:
        """Fail the next requests, or those of them for this file type or day, `times` times in all (None: for ever).

        A fault of the API strikes requests to it; one of a transfer, requests with a valid link; one of the content,
        links, whose content is then spoilt for as long as they live. `after` says where: so many bytes of what the
        answer would hold, or (a float) which fraction of them.
        """
        planned = plan(fault, times, file_type, None if day is None else _date(day), details)
        with self._lock:
            self._faults.append(planned)

    def configure(self, **changes: Any) -> None:  # noqa: ANN401 - settings of several types
        """Change settings while it runs; days may be written `2024-01-02`."""
        if unknown := changes.keys() - _CHANGEABLE:
            raise ValueError(f"No such settings: {sorted(unknown)}; there are {sorted(_CHANGEABLE)}")
        dates = {name: _date(changes[name]) for name in _DATES & changes.keys() if changes[name] is not None}
        missing = {"missing": {_missing(each) for each in changes["missing"]}} if "missing" in changes else {}
        vars(self).update(changes | dates | missing)

    def reset(self) -> None:
        """Forget what was put, links, requests, faults and counts; the settings stay."""
        with self._lock:
            self.days = Days(self)
            self.redirects = 0
            self.most_at_once = 0
            self.served: Counter[tuple[str, date]] = Counter()
            self._links: dict[str, Link] = {}
            self._requests: list[SeenRequest] = []
            self._faults: list[PlannedFault] = []

    def note(self, host: str, method: str, path: str, query: dict[str, str], headers: Message) -> None:
        """Write a request down."""
        with self._lock:
            self._requests.append(SeenRequest(host, method, path, query, headers, self.clock()))

    def take(self, faults: AbstractSet[Fault], file_type: str | None, day: date | None) -> PlannedFault | None:
        """Hand out the first of these faults that is meant for a request."""
        with self._lock:
            meant = (each for each in self._faults if each.fault in faults and each.matches(file_type, day))
            planned = next(meant, None)
            if planned and planned.times is not None:
                planned.times -= 1
                if not planned.times:
                    self._faults.remove(planned)
            return planned

    def grant(self, file_type: str, day: date) -> str:
        """The address of a new link to a backup."""
        spoilt = self.take(CONTENT_FAULTS, file_type, day)
        path = f"/firestream-backups/{file_type}/{day:%Y/%m/%d}/stocktwits_{file_type}_{day:%Y_%m_%d}.gz"
        signature, now = secrets.token_hex(32), self.clock()
        signed_at = datetime.fromtimestamp(now, UTC)
        with self._lock:
            self._links[signature] = Link(file_type, day, path, now + self.link_seconds, spoilt)
            self.redirects += 1
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"STANDIN/{signed_at:%Y%m%d}/us-east-1/s3/aws4_request",
            "X-Amz-Date": f"{signed_at:%Y%m%dT%H%M%SZ}",
            "X-Amz-Expires": round(self.link_seconds),
            "X-Amz-SignedHeaders": "host",
            "X-Amz-Signature": signature,
        }
        return f"{self.link_url}{path}?{urlencode(query)}"

    def link(self, signature: str) -> Link | None:
        """The link with this signature."""
        return self._links.get(signature)

    def behind(self, link: Link) -> Backup | None:
        """What a link leads to, as it is now."""
        backup = self.days.find(link.file_type, link.day)
        return spoil(backup, link.spoilt) if backup and link.spoilt else backup

    def rewrite(self, link: Link, backup: Backup) -> None:
        """Replace the backup behind a link with another."""
        self.put(link.file_type, link.day, rewritten(backup.read()))

    def count(self, link: Link, sent: int) -> None:
        """Count bytes of a backup that were sent."""
        with self._lock:
            self.served[link.file_type, link.day] += sent

    @contextmanager
    def transferring(self) -> Iterator[None]:
        """Count a transfer among those that happen at once."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1


def _date(day: date | str) -> date:
    return date.fromisoformat(day) if isinstance(day, str) else day


def _missing(each: date | str | tuple[str, date | str]) -> date | tuple[str, date]:
    if isinstance(each, date | str):
        return _date(each)
    file_type, day = each
    return file_type, _date(day)
