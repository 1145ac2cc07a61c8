"""The state of the stand-in: backups, planned faults, links and requests."""

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
from local.stand_ins.firestream.faults import CONTENT_FAULTS, Fault, PlannedFault, plan, rewritten, with_fault

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
    """A request as it arrived; `host` is "api" or "link", and `headers` ignore case."""

    host: str
    method: str
    path: str
    query: dict[str, str]
    headers: Message
    at: float


@dataclass
class Link:
    """The target of a link, and when it expires; `content_fault` is the fault of its content, if any."""

    file_type: str
    day: date
    path: str
    expires_at: float
    content_fault: PlannedFault | None


@dataclass(eq=False, repr=False)
class State(Settings):
    """The state that both hosts share; the settings may be changed while they run."""

    def __post_init__(self) -> None:
        """Start without backups, requests and planned faults."""
        self._lock = threading.Lock()
        self._at_once = 0  # kept by `reset`, which ends no transfer
        self.reset()

    @property
    def requests(self) -> list[SeenRequest]:
        """The requests to both hosts so far, including refused ones, oldest first."""
        return list(self._requests)

    def put(self, file_type: str, day: date, content: bytes | Path) -> None:
        """Store this content as the backup of a day: bytes, or the file with them."""
        self.days.put(file_type, day, content)

    def content(self, file_type: str, day: date) -> bytes:
        """Return the content that a complete download of this day yields; KeyError if there is no such backup."""
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
        """Fail the next `times` requests (None: all), or only those for this file type or day.

        A fault of the API affects requests to it; a fault of a transfer, requests with a valid link; a fault of the
        content, new links, for as long as they are valid. `after` says where in the response: after a number of bytes,
        or, as a float, after a fraction of them.
        """
        planned = plan(fault, times, file_type, None if day is None else _date(day), details)
        with self._lock:
            self._faults.append(planned)

    def configure(self, **changes: Any) -> None:  # noqa: ANN401 - settings of several types
        """Change settings while it runs; days may be given as `2024-01-02`."""
        if unknown := changes.keys() - _CHANGEABLE:
            raise ValueError(f"No such settings: {sorted(unknown)}; there are {sorted(_CHANGEABLE)}")
        dates = {name: _date(changes[name]) for name in _DATES & changes.keys() if changes[name] is not None}
        missing = {"missing": {_missing(each) for each in changes["missing"]}} if "missing" in changes else {}
        vars(self).update(changes | dates | missing)

    def reset(self) -> None:
        """Forget backups, links, requests, faults and counts; keep the settings."""
        with self._lock:
            self.days = Days(self)
            self.redirects = 0
            self.most_at_once = 0
            self.served: Counter[tuple[str, date]] = Counter()
            self._links: dict[str, Link] = {}
            self._requests: list[SeenRequest] = []
            self._faults: list[PlannedFault] = []

    def record(self, host: str, method: str, path: str, query: dict[str, str], headers: Message) -> None:
        """Record a request."""
        with self._lock:
            self._requests.append(SeenRequest(host, method, path, query, headers, self.clock()))

    def take(self, faults: AbstractSet[Fault], file_type: str | None, day: date | None) -> PlannedFault | None:
        """Return the first of these faults that applies to a request, and count it."""
        with self._lock:
            matching = (each for each in self._faults if each.fault in faults and each.matches(file_type, day))
            planned = next(matching, None)
            if planned and planned.times is not None:
                planned.times -= 1
                if not planned.times:
                    self._faults.remove(planned)
            return planned

    def grant(self, file_type: str, day: date) -> str:
        """Create a link to a backup, and return its URL."""
        content_fault = self.take(CONTENT_FAULTS, file_type, day)
        path = f"/firestream-backups/{file_type}/{day:%Y/%m/%d}/stocktwits_{file_type}_{day:%Y_%m_%d}.gz"
        signature, now = secrets.token_hex(32), self.clock()
        signed_at = datetime.fromtimestamp(now, UTC)
        with self._lock:
            self._links[signature] = Link(file_type, day, path, now + self.link_seconds, content_fault)
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
        """Return the link with this signature."""
        return self._links.get(signature)

    def target(self, link: Link) -> Backup | None:
        """Return the current target of a link."""
        backup = self.days.find(link.file_type, link.day)
        return with_fault(backup, link.content_fault) if backup and link.content_fault else backup

    def rewrite(self, link: Link, backup: Backup) -> None:
        """Replace the target of a link."""
        self.put(link.file_type, link.day, rewritten(backup.read()))

    def count(self, link: Link, sent: int) -> None:
        """Count the bytes that were sent of a backup."""
        with self._lock:
            self.served[link.file_type, link.day] += sent

    @contextmanager
    def transferring(self) -> Iterator[None]:
        """Count a transfer among the concurrent ones."""
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
