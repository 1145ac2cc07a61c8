"""Firestream's backups: a day's file as a stream of bytes that resumes where it broke.

A backup is asked for with the login, and answered with a redirect to a temporary link on another host. The link is a
secret itself, and refuses the login: https://firestream.stocktwits.com/documentation (backups). Redirects are followed
as the documented ``curl -L -u`` follows them, but by hand: the login goes to Firestream's own host alone, no link to
plain HTTP, and errors carry no text of the library's, which would show the link.
"""

from __future__ import annotations

import base64
import logging
import re
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from relay import __version__
from relay.backups.identity import Identity
from relay.errors import Absent, Halt, Pause, Refused, Reject, RelayError, Retry, StartOver, Unchanged, Wait
from relay.limits import limit_end
from relay.tls import standard_context

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from relay.backups.backup import Backup
    from relay.credentials import Login, SecretSource

CONNECT_SECONDS = 5.0
"""How long a connection may take to come about."""

READ_SECONDS = 15.0
"""How long the other side may be silent before the transfer counts as broken."""

MAX_FAILURES = 6
"""How often in a row a download may fail without a single byte in between."""

FIRST_WAIT_SECONDS = 0.25
"""The wait after the first of these; each next one is twice as long."""

STOP_SECONDS = 30.0
"""A transfer is given up with less time left than this: what was uploaded of it must still be taken back."""

MAX_REDIRECTS = 10
"""How many redirects in a row are followed; one is documented."""

MAX_REFUSED_DAYS = 3
"""After so many days in a row that Firestream refuses (403), and none that it gives, the login itself is refused."""

HOLD_SECONDS = 30.0
"""A wait that the other side asks for is taken within the invocation up to here; a longer one holds the request."""

REFUSED_SECONDS = 300
"""How long a refused login is not tried again; another one is, at once."""

MAX_QUOTED_CHARACTERS = 200
"""How much of Firestream's own error text goes into a reason."""

_OK, _PARTIAL, _NOT_MODIFIED = 200, 206, 304
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 400, 401, 403, 404
_REFUSED = frozenset({_UNAUTHORIZED, _FORBIDDEN})
_LIMITED = frozenset({429, 503})
_CHANGED, _OUT_OF_RANGE = 412, 416
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]+)-[0-9]+|\*)/([0-9]+)")
_S3_CODE = re.compile(rb"<Code>([A-Za-z]{1,60})</Code>")

logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)  # below, it logs every address, and a link is one


class Firestream:
    """A client for one login. Downloads may run in several threads."""

    def __init__(
        self,
        url: str,
        login: SecretSource[Login],
        now: Callable[[], float],
        *,
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            url: Firestream's root, such as ``https://firestream.stocktwits.com``.
            login: Gives the login.
            now: The clock, in seconds since the epoch.
            first_wait_seconds: How long to wait after a first failure; see `FIRST_WAIT_SECONDS`.
        """
        self._url = url.rstrip("/")
        self._login = login
        self.now = now
        self.first_wait_seconds = first_wait_seconds
        self._refused: tuple[Login, Pause] | None = None
        self._refused_days = 0
        # Only where it is needed: reading all the authorities takes as long as making an AWS client.
        context = standard_context() if self._url.startswith("https://") else None
        self._http = urllib3.PoolManager(
            ssl_context=context,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            headers={"User-Agent": f"StockTwitsRelay/{__version__}", "Accept-Encoding": "identity"},
        )

    def close(self) -> None:
        """Close the connections that are idle."""
        self._http.clear()

    def open(self, backup: Backup, seconds_left: Callable[[], float], known: Identity | None = None) -> Download:
        """Begin to download a backup.

        Args:
            backup: Which one.
            seconds_left: How long this invocation may still run.
            known: What the stored file was known by, if only another one is wanted.

        Returns:
            Its bytes, to be read and closed.

        Raises:
            Unchanged: Firestream's file is still the known one; none of its bytes was read.
            Absent: Firestream has no such file.
            Reject: Firestream cannot have such a backup.
            Refused: Firestream refuses this backup.
            Halt: Firestream refuses the login.
            Wait: Firestream, or the link's host, asks to wait.
            Retry: Firestream did not answer as it should.
        """
        download = Download(self, backup, seconds_left, known)
        download.begin()
        return download

    def check(self, backup: Backup) -> None:
        """Check the login with one request, for the link to a backup. It is not followed, so nothing is downloaded.

        Args:
            backup: Which one; the login is good whether Firestream has it or not.

        Raises:
            Refused: Firestream refuses this backup.
            Halt: Firestream refuses the login.
            RelayError: Firestream did not answer as it should.
        """
        login = self._login(fresh=False)
        answer = _Answer(self._send(self._address(backup), _authorization(login), "Firestream"), of_api=True)
        if answer.status not in {_OK, _NOT_FOUND, *_REDIRECTS}:
            raise self._error(backup, login, answer)
        answer.response.close()

    def get(self, backup: Backup, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """Ask for a backup, and follow Firestream's redirects to where it lies.

        Args:
            backup: Which one.
            headers: For the host that has the file.

        Returns:
            That host's answer, whatever its status; its body is yet to be read.

        Raises:
            RelayError: There is none; see `open`.
        """
        refused = self._recently_refused()
        login = self._login(fresh=refused is not None)
        if refused and login == refused[0]:
            raise Halt(refused[1])
        answer = self._follow(backup, login, headers)
        if answer.of_api and answer.status in _REFUSED:
            fresh = login
            with suppress(Retry):  # no newer one can be read now: the one in use is refused
                fresh = self._login(fresh=True)
            if fresh != login:
                login = fresh
                answer = self._follow(backup, login, headers)
        if not answer.of_api or answer.status == _OK:
            self._refused_days = 0
            return answer.response
        raise self._error(backup, login, answer)

    def _error(self, backup: Backup, login: Login, answer: _Answer) -> RelayError:
        """Turn Firestream's own answer into what to do next."""
        status, quoted = answer.status, answer.quoted(login)
        if status == _NOT_FOUND:
            return Absent(f"Firestream has no file for {backup} ({status}{quoted})", status=status)
        if status == _FORBIDDEN:
            self._refused_days += 1
            if self._refused_days < MAX_REFUSED_DAYS:
                return Refused(f"Firestream refuses {backup} ({status}{quoted})", status=status)
        if status in _REFUSED:
            reason = (
                f"Firestream refused the login of {login.username} ({status}{quoted}): store one that may read backups"
            )
            pause = Pause("firestream_refused", reason, self.now() + REFUSED_SECONDS)
            self._refused = login, pause
            return Halt(pause, status=status)
        if status == _BAD_REQUEST:
            return Reject(f"Firestream refused to look for {backup} ({status}{quoted})", status=status)
        return self.limited(answer.response, "Firestream") or Retry(
            f"Firestream answered {status}{quoted}", status=status
        )

    def limited(self, response: urllib3.BaseHTTPResponse, whom: str) -> Wait | None:
        """Return the wait that an answer asks for, if it does and says until when."""
        if response.status not in _LIMITED:
            return None
        until = limit_end(response.headers.get("Retry-After", "").strip(), self.now())
        if until is None:
            return None
        pause = Pause("firestream_limited", f"{whom} asks to wait ({response.status})", until)
        return Wait(pause, status=response.status)

    def _recently_refused(self) -> tuple[Login, Pause] | None:
        """Return the login that is not to be tried again yet: many requests must not become as many refusals."""
        if self._refused and (self._refused[1].until or 0) <= self.now():
            self._refused = None
        return self._refused

    def _follow(self, backup: Backup, login: Login, headers: Mapping[str, str]) -> _Answer:
        """Follow redirects to the first answer that is not one."""
        url = self._address(backup)
        for _ in range(MAX_REDIRECTS + 1):
            of_api = _origin(url) == _origin(self._url)
            whom = "Firestream" if of_api else "the link's host"
            response = self._send(url, _authorization(login) if of_api else headers, whom)
            if response.status not in _REDIRECTS:
                return _Answer(response, of_api=of_api)
            location = response.headers.get("Location", "")
            response.close()
            url = self._next(url, location, f"{whom} answered {response.status}")
        raise Refused(f"Firestream's redirects for {backup} do not end within {MAX_REDIRECTS}")

    def _address(self, backup: Backup) -> str:
        return f"{self._url}/backups/{backup.file_type}/{backup.day:%Y/%m/%d}"

    def _send(self, url: str, headers: Mapping[str, str], whom: str) -> urllib3.BaseHTTPResponse:
        try:
            return self._http.request(
                "GET",
                url,
                headers={**self._http.headers, **headers},
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError) as error:
            raise Retry(f"{whom} could not be reached, or did not answer ({_kind(error)})") from None

    def _next(self, url: str, location: str, what: str) -> str:
        """Return where a redirect leads, relative to the address that answered it."""
        link, origin = "", None
        with suppress(ValueError):  # it is not a URL
            link = urljoin(url, location)
            origin = _origin(link)
        if not location or not origin or not origin.host or origin.scheme not in {"https", _origin(self._url).scheme}:
            raise Retry(f"{what} with a link that is missing, or not as safe as Firestream's own address")
        return link


class _Origin(NamedTuple):
    """Whose address it is: only Firestream itself gets the login."""

    scheme: str
    host: str | None
    port: int | None


def _authorization(login: Login) -> dict[str, str]:
    return {"Authorization": f"Basic {_basic(login)}"}


def _basic(login: Login) -> str:
    return base64.b64encode(f"{login.username}:{login.password}".encode()).decode()


def _origin(url: str) -> _Origin:
    parts = urlsplit(url)
    return _Origin(parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme))


@dataclass(frozen=True, slots=True)
class _Answer:
    """The first answer that is not a redirect, and whether Firestream's own host gave it."""

    response: urllib3.BaseHTTPResponse
    of_api: bool

    @property
    def status(self) -> int:
        return self.response.status

    def quoted(self, login: Login) -> str:
        """Quote the answer's text, if it is words; it begins with a colon."""
        try:
            text = self.response.read(MAX_QUOTED_CHARACTERS * 4) or b""
        except (HTTPError, OSError) as error:
            raise Retry(f"the connection to Firestream broke before its answer ({_kind(error)})") from None
        finally:
            self.response.close()
        return _quoted(text.decode(errors="replace"), login.password, _basic(login))


class Download:
    """A backup on its way. A broken one goes on where it stopped, with a fresh link, if the file is still the same.

    Attributes:
        identity: What the file is known by, as the link's host says.
        etag: Its ETag as the host gave it; empty if it gave none.
        last_modified: When the file was last changed, in the same way.
        size: The file's, in bytes; None as long as it is not known.
        position: How many bytes were read so far.
        resumes: How often it was taken up again.
    """

    def __init__(
        self,
        firestream: Firestream,
        backup: Backup,
        seconds_left: Callable[[], float],
        known: Identity | None = None,
    ) -> None:
        """Prepare it; see `Firestream.open`."""
        self.identity = Identity()
        self.etag = ""
        self.last_modified = ""
        self.size: int | None = None
        self.position = 0
        self.resumes = 0
        self._firestream = firestream
        self._backup = backup
        self._known = known
        self._conditions = known.conditions if known else {}
        self._seconds_left = seconds_left
        self._response: urllib3.BaseHTTPResponse | None = None
        self._failures = 0
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Stop; a read that is under way in another thread ends at once, with an error."""
        self._closed.set()
        if self._response is not None:
            with suppress(ValueError, RuntimeError, OSError):  # it ended by itself
                self._response.shutdown()
            self._response.close()

    def begin(self) -> None:
        """Wait for the first answer of the link's host; errors as for `Firestream.open`."""
        while True:
            self._go_on()
            try:
                self._connect()
            except StartOver:
                raise
            except Wait as wait:
                seconds = (wait.pause.until or 0) - self._firestream.now() if wait.pause else 0
                if seconds > HOLD_SECONDS or self._failures >= MAX_FAILURES:
                    raise
                self._failed(wait.reason, wait.status, seconds)
            except (Retry, Absent) as error:
                if isinstance(error, Absent) and not self.position:
                    raise
                self._failed(error.reason, error.status)
            else:
                return

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; see `relay.backups.upload.Source`.

        Raises:
            StartOver: The file changed, or cannot be read from its middle.
            RelayError: The rest cannot be had now.
        """
        while True:
            self._go_on()
            try:
                content = self._read(size)
            except (HTTPError, OSError) as error:
                self._take_up(f"the transfer broke ({_kind(error)})")
                continue
            if content:
                self.position += len(content)
                self._failures = 0
                return content
            if self.position == self.size:
                return b""
            # Cut off; or the size was not given, and asking for the bytes that follow shows whether this was all.
            self._take_up(f"the transfer ended after {self.position} bytes")

    def _read(self, most: int) -> bytes:
        return self._response.read1(most) if self._response is not None else b""

    def _take_up(self, why: str) -> None:
        """Connect anew from where the transfer stopped."""
        if self.size is not None or self._failures or not self.position:
            self._failed(why)
        self.begin()

    def _failed(self, why: str, status: int | None = None, at_least: float = 0) -> None:
        """Wait a little longer each time, and as long as the other side asks; give up after `MAX_FAILURES`."""
        self._failures += 1
        if self._failures > MAX_FAILURES:
            reason = f"{self._backup} failed {self._failures} times at byte {self.position}: {why}"
            raise Retry(reason, status=status)
        self._closed.wait(max(at_least, self._firestream.first_wait_seconds * 2 ** (self._failures - 1)))

    def _go_on(self) -> None:
        """Raise when it is pointless to continue."""
        if self._closed.is_set():
            raise Retry("the transfer was given up")
        if self._seconds_left() < STOP_SECONDS:
            raise Retry(f"this invocation's time ran out at byte {self.position} of {self._backup}")

    def _connect(self) -> None:
        """Ask for a fresh link, and for the bytes from `position` on."""
        if self._response is not None:
            self._response.close()
        headers = {"Range": f"bytes={self.position}-", **self._unchanged()} if self.position else self._conditions
        response = self._firestream.get(self._backup, headers)
        self._response = response
        if self.position:
            self._resumed(response)
        elif response.status == _NOT_MODIFIED and self._conditions:
            self._not_modified(response)
        elif response.status == _OK:
            self.identity = Identity.of_answer(response.headers)
            if self._known and self._known.is_same(self.identity):
                raise self._same()
            self.etag = response.headers.get("ETag", "")
            self.last_modified = response.headers.get("Last-Modified", "")
            length = response.headers.get("Content-Length", "")
            self.size = int(length) if length.isdecimal() else None
        else:
            raise self._not_given(response)

    def _not_modified(self, response: urllib3.BaseHTTPResponse) -> None:
        """Believe that the file is the known one, unless the answer's own headers name another one.

        A file that was replaced by an older one was not modified since, but the date shows it.
        """
        found = replace(Identity.of_answer(response.headers), size=None)
        if self._known and self._known.is_same(found) is not False:
            raise self._same()
        self._conditions = {}
        self._connect()

    def _same(self) -> Unchanged:
        self.close()
        return Unchanged(f"{self._backup} is the same at Firestream")

    def _unchanged(self) -> dict[str, str]:
        """Return the condition under which the rest belongs to what was read.

        A date has whole seconds, and a weak ETag says nothing about bytes: with the size they will do, because the
        verifier judges the result.
        """
        if self.etag and not self.etag.startswith("W/"):
            return {"If-Match": self.etag}
        if self.last_modified and self.size is not None:
            return {"If-Unmodified-Since": self.last_modified}
        raise StartOver(
            f"{self._backup} broke at byte {self.position}, and cannot be resumed because it has neither an ETag nor a "
            "date and a size"
        )

    def _not_given(self, response: urllib3.BaseHTTPResponse) -> RelayError:
        """Turn the answer of the host that has the file into what to do next.

        S3's short code is quoted alone: its texts repeat what was signed.
        """
        status = response.status
        try:
            found = _S3_CODE.search(response.read(4096) or b"")
        except (HTTPError, OSError):
            found = None
        response.close()
        words = f" {found[1].decode()}" if found else ""
        if status == _NOT_FOUND and words:
            return Absent(f"the link's host has no file for {self._backup} ({status}{words})", status=status)
        return self._firestream.limited(response, "the link's host") or Retry(
            f"the link's host answered {status}{words}", status=status
        )

    def _resumed(self, response: urllib3.BaseHTTPResponse) -> None:
        """See whether the answer is the rest of the same file."""
        status = response.status
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if status not in {_OK, _PARTIAL, _CHANGED, _OUT_OF_RANGE}:
            raise self._not_given(response)
        start, size = (found[1], int(found[2])) if found else (None, -1)
        fits = size == self.size or self.size is None
        if "If-Match" not in self._unchanged():
            fits = fits and response.headers.get("Last-Modified", self.last_modified) == self.last_modified
        if fits and status == _PARTIAL and start == str(self.position):
            self.size = size
            self.resumes += 1
        elif fits and status == _OUT_OF_RANGE and size == self.position:
            self.size = size
            response.close()
            self._response = None
        else:
            raise StartOver(f"{self._backup} broke at byte {self.position}, and has changed since ({status})")


def _quoted(text: str, *secrets: str) -> str:
    """Quote Firestream's own words, if they are words."""
    for secret in secrets:
        text = text.replace(secret, "…")
    words = " ".join(text.split())[:MAX_QUOTED_CHARACTERS]
    return f": {words}" if words.isprintable() and words else ""


def _kind(error: BaseException) -> str:
    """Name the error at the root: the texts of these libraries show addresses."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return type(error).__name__
