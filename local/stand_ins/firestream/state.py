"""The state of the stand-in: backups, planned faults, links and requests."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from local.stand_ins.firestream.contrary import Contrary
from local.stand_ins.firestream.contrary_mode import ContraryMode
from local.stand_ins.firestream.days import Backup, Days, Settings
from local.stand_ins.firestream.faults import Fault, PlannedFault, Stage, plan, rewritten, with_fault
from local.stand_ins.firestream.redirects import Way
from local.stand_ins.firestream.versions import When, identity, version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from pathlib import Path

    from local.stand_ins.firestream.conditions import Identity

_DATES = {"first_day", "last_day", "today"}
_COUNTS = {"lag_days", "messages_per_day", "activities_per_day"}
_CONTRARY = ("contrary", "contrary_share", "contrary_behaviours")
_CHANGEABLE = {"username", "password", "link_seconds", "missing", *_DATES, *_COUNTS, *_CONTRARY}
SMALL, BODY = "small", "body"
"""The kinds of answers that are counted: without a body of a backup, and with one, whole or in part."""


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
    """The target of a link, and when it expires.

    Attributes:
        file_type: The type of the backup.
        day: Its day.
        path: The path of the link.
        url: The link.
        expires_at: When it expires, in seconds since the epoch.
        content_fault: The fault of its content, if any.
        way: The redirects that lead to it.
    """

    file_type: str
    day: date
    path: str
    url: str
    expires_at: float
    content_fault: PlannedFault | None
    way: Way


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

    @property
    def faulted(self) -> list[tuple[str | None, date | None, PlannedFault]]:
        """What each request met so far, with its file if it named one, oldest first; what lasts is not listed."""
        return list(self._faulted)

    @property
    def leaked_logins(self) -> list[SeenRequest]:
        """The requests that took a login to the host of the links."""
        return [seen for seen in self.requests if seen.host == "link" and "Authorization" in seen.headers]

    def counted(
        self,
        file_type: str | None = None,
        day: date | None = None,
        *,
        host: str | None = None,
        kind: str | None = None,
    ) -> int:
        """Return how many requests for backups were answered so far.

        Args:
            file_type: Those for files of this type; None for both.
            day: Those for this day; None for all.
            host: Those to this host, `api` or `link`; None for both.
            kind: Those with a `body` of a backup, whole or in part, or the `small` ones; None for both.
        """
        asked = (host, file_type, day, kind)
        with self._lock:
            return sum(
                count
                for key, count in self.counts.items()
                if all(wanted in (None, value) for wanted, value in zip(asked, key, strict=True))
            )

    def put(self, file_type: str, day: date, content: bytes | Path | None, at: float | None = None) -> None:
        """Store this content as the backup of a day: bytes, the file with them, or None for no backup; see `Days`."""
        self.days.put(file_type, day, content, at)

    def find(self, file_type: str, day: date) -> Backup | None:
        """Return the version of a day's backup that is there now, if there is one."""
        when = When(day, self.clock(), self._asked[file_type, day])
        return version(self.days.find(file_type, day), self.lasting(Stage.DAY, file_type, day), when)

    def content(self, file_type: str, day: date) -> bytes:
        """Return the content that a complete download of this day yields; KeyError if there is no such backup.

        What is planned or drawn for the content of links is left out; see `offered`.
        """
        backup = self.find(file_type, day)
        if backup is None:
            raise KeyError(file_type, day)
        return backup.read()

    def offered(self, file_type: str, day: date) -> Backup | None:
        """Return what a link leads to now, with what lasts of the content, but not what affects single links."""
        backup = self.find(file_type, day)
        faults = self.lasting(Stage.CONTENT, file_type, day)
        return with_fault(backup, faults[0]) if backup and faults else backup

    def spoils(self, file_type: str, day: date) -> bool:
        """Return whether the contrary mode drew that a client may never get this file as a whole."""
        mode = self._mode()
        return bool(mode and mode.spoils(file_type, day))

    def fail(
        self,
        fault: Fault | Contrary | str,
        *,
        times: int | None = 1,
        file_type: str | None = None,
        day: date | str | None = None,
        **details: Any,  # noqa: ANN401 - values of several types
    ) -> None:
        """Fail the next `times` requests (None: all), or only those for this file type or day; see `plan`.

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
        seed, share, names = (changes.get(each, getattr(self, each)) for each in _CONTRARY)
        if seed is not None:
            ContraryMode(seed, share, names)
        vars(self).update(changes | dates | missing)

    def reset(self) -> None:
        """Forget backups, links, requests, faults and counts, also those of the contrary mode; keep the settings."""
        with self._lock:
            self.days = Days(self)
            self.redirects = 0
            self.most_at_once = 0
            self.served: Counter[tuple[str, date]] = Counter()
            self.counts: Counter[tuple[str, str, date, str]] = Counter()
            self._asked: Counter[tuple[str, date]] = Counter()
            self._numbers = itertools.count(1)
            self._drawing: tuple[object, ContraryMode | None] = (None, None)
            self._links: dict[str, Link] = {}
            self._requests: list[SeenRequest] = []
            self._faults: list[PlannedFault] = []
            self._faulted: list[tuple[str | None, date | None, PlannedFault]] = []

    def record(self, host: str, method: str, path: str, query: dict[str, str], headers: Message) -> None:
        """Record a request."""
        with self._lock:
            self._requests.append(SeenRequest(host, method, path, query, headers, self.clock()))

    def count_answer(self, host: str, file_type: str, day: date, kind: str) -> None:
        """Count a request that is about to be answered."""
        with self._lock:
            self.counts[host, file_type, day, kind] += 1

    def take(self, stage: Stage, file_type: str | None, day: date | None) -> PlannedFault | None:
        """Return the first fault that applies to a request, and count it; else what the contrary mode draws."""
        mode, now = self._mode(), self.clock()
        with self._lock:
            there = [each for each in self._faults if each.stage is stage and not each.over(now)]
            planned = next((each for each in there if each.matches(file_type, day)), None)
            if planned and planned.times is not None:
                planned.times -= 1
                if not planned.times:
                    self._faults.remove(planned)
        if planned is None and mode and file_type and day:
            planned = mode.of_request(stage, file_type, day)
        if planned:
            with self._lock:
                self._faulted.append((file_type, day, planned))
        return planned

    def lasting(self, stage: Stage, file_type: str, day: date) -> list[PlannedFault]:
        """Return what applies to a file at this stage, whatever is asked: what is planned, then what is drawn."""
        mode = self._mode()
        with self._lock:
            planned = [each for each in self._faults if each.lasts and each.matches(file_type, day)]
        drawn = mode.of_file(file_type, day) if mode else []
        return [each for each in [*planned, *drawn] if each.stage is stage]

    def ask(self, file_type: str, day: date) -> bool:
        """Count that a link to a day's backup is asked for, and return whether there is one."""
        with self._lock:
            self._asked[file_type, day] += 1
        return self.find(file_type, day) is not None

    def grant(self, file_type: str, day: date) -> str:
        """Create a link to a backup, and return its URL."""
        return self.way(file_type, day, "").link

    def way(self, file_type: str, day: date, asked_path: str) -> Way:
        """Create a link to a backup, and return the redirects from a request with this path to it."""
        content_fault = self.take(Stage.CONTENT, file_type, day)
        if content_fault is None:
            content_fault = next(iter(self.lasting(Stage.CONTENT, file_type, day)), None)
        redirect = self.take(Stage.WAY, file_type, day)
        path = f"/firestream-backups/{file_type}/{day:%Y/%m/%d}/stocktwits_{file_type}_{day:%Y_%m_%d}.gz"
        signature, now = secrets.token_hex(32), self.clock()
        signed_at = datetime.fromtimestamp(now, UTC)
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"STANDIN/{signed_at:%Y%m%d}/us-east-1/s3/aws4_request",
            "X-Amz-Date": f"{signed_at:%Y%m%dT%H%M%SZ}",
            "X-Amz-Expires": round(self.link_seconds),
            "X-Amz-SignedHeaders": "host",
            "X-Amz-Signature": signature,
        }
        url = f"{self.link_url}{path}?{urlencode(query)}"
        way = Way(self.url, asked_path, url, redirect)
        with self._lock:
            self._links[signature] = Link(file_type, day, path, url, now + self.link_seconds, content_fault, way)
            self.redirects += 1
        return way

    def link(self, signature: str) -> Link | None:
        """Return the link with this signature."""
        return self._links.get(signature)

    def target(self, link: Link) -> Backup | None:
        """Return the current target of a link."""
        backup = self.find(link.file_type, link.day)
        return with_fault(backup, link.content_fault) if backup and link.content_fault else backup

    def identify(self, link: Link, backup: Backup) -> Identity:
        """Return what identifies the target of a link in the answer to one request."""
        return identity(backup, self.lasting(Stage.IDENTITY, link.file_type, link.day), next(self._numbers))

    def ignores_conditions(self, link: Link) -> bool:
        """Return whether the conditions of requests for this link are ignored."""
        lasting = self.lasting(Stage.IDENTITY, link.file_type, link.day)
        return any(each.fault is Contrary.CONDITIONS_IGNORED for each in lasting)

    def rewrite(self, link: Link, backup: Backup) -> None:
        """Replace the target of a link."""
        self.put(link.file_type, link.day, rewritten(backup.read()))

    def count(self, link: Link, sent: int) -> None:
        """Count the bytes that were sent of a backup."""
        with self._lock:
            self.served[link.file_type, link.day] += sent

    def _mode(self) -> ContraryMode | None:
        wanted = self.contrary, self.contrary_share, tuple(self.contrary_behaviours)
        with self._lock:  # or of two first requests, one would count in a mode that is thrown away
            if self._drawing[0] != wanted:
                seed, share, names = wanted
                self._drawing = wanted, None if seed is None else ContraryMode(seed, share, names)
            return self._drawing[1]

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
