"""The client of Firestream's backups over real HTTP: whole after every fault, or an error that says what to do next."""

import hashlib
import io
import logging
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from relay.backups import firestream
from relay.backups.backup import Backup
from relay.backups.firestream import MAX_FAILURES, REFUSED_SECONDS, STOP_SECONDS, Download, Firestream
from relay.backups.verifier import verify
from relay.credentials import Login
from relay.errors import Absent, Corrupt, Halt, Pause, Reject, RelayError, Retry, StartOver

from local.stand_ins.firestream import data
from local.stand_ins.firestream.faults import Fault
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.factories import NOW, Clock
from tests.servers import request_of, self_signed, tcp_server

DAY = date(2024, 1, 2)
MESSAGES = Backup(DAY, "message")
CONTENT = data.backup("message", DAY, 400)
SIZE = len(CONTENT)
MOST = 1 << 16
ETAG = '"0123-3"'
USER, PASSWORD = "demo-user", "demo-password"
FOUND = b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Vault:
    """A login whose fresh read may give another password, or an error."""

    def __init__(self, password: str = PASSWORD, fresh: str | Exception | None = None) -> None:
        self.password = password
        self.stored = password if fresh is None else fresh
        self.fresh_reads = 0

    def __call__(self, *, fresh: bool = False) -> Login:
        if fresh:
            self.fresh_reads += 1
            if isinstance(self.stored, Exception):
                raise self.stored
            self.password = self.stored
        return Login(USER, self.password)


def plenty() -> float:
    return 900.0


def read_on(download: Download, most: int = MOST) -> bytes:
    content = b""
    while piece := download.read(most):
        content += piece
    return content


def whole(client: Firestream, backup: Backup = MESSAGES) -> bytes:
    with client.open(backup, plenty) as download:
        return read_on(download)


def failure(client: Firestream, backup: Backup = MESSAGES) -> RelayError:
    with pytest.raises(RelayError) as failed:
        whole(client, backup)
    return failed.value


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stand_in(clock: Clock) -> Iterator[FirestreamStandIn]:
    with FirestreamStandIn(messages_per_day=400, activities_per_day=400, clock=clock) as running:
        yield running


@pytest.fixture
def client_of(clock: Clock) -> Iterator[Callable[..., Firestream]]:
    """Makes clients that wait no time worth mentioning."""
    made: list[Firestream] = []

    def make(url: str, login: Any = None) -> Firestream:
        made.append(Firestream(url, login or Vault(), clock, first_wait_seconds=0.001))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def client(stand_in: FirestreamStandIn, client_of: Callable[..., Firestream]) -> Firestream:
    return client_of(stand_in.url)


@pytest.fixture
def impatient(
    stand_in: FirestreamStandIn, client_of: Callable[..., Firestream], monkeypatch: pytest.MonkeyPatch
) -> Firestream:
    """A client that takes a short silence for a broken transfer."""
    monkeypatch.setattr(firestream, "READ_SECONDS", 0.05)
    return client_of(stand_in.url)


def asked(stand_in: FirestreamStandIn, host: str) -> list[Any]:
    return [each for each in stand_in.requests if each.host == host]


def ranges(stand_in: FirestreamStandIn) -> list[str | None]:
    """What was asked of the host of the links, in order."""
    return [each.headers.get("Range") for each in asked(stand_in, "link")]


# A backup without a fault


@pytest.mark.parametrize("file_type", ["message", "activity"])
def test_a_backup_is_read_byte_for_byte(client: Firestream, stand_in: FirestreamStandIn, file_type: str) -> None:
    backup = Backup(DAY, file_type)
    assert whole(client, backup) == stand_in.content(file_type, DAY)
    assert [each.path for each in asked(stand_in, "api")] == [f"/backups/{file_type}/2024/01/02"]
    assert (stand_in.redirects, len(asked(stand_in, "link"))) == (1, 1)


def test_a_download_knows_its_size_and_its_tag_before_its_first_byte(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    with client.open(MESSAGES, plenty) as download:
        assert (download.size, download.position, download.resumes) == (SIZE, 0, 0)
        assert download.etag == f'"{hashlib.md5(CONTENT).hexdigest()}-3"'
        read_on(download)
        assert (download.position, download.resumes) == (SIZE, 0)
        assert read_on(download) == b""  # and the end stays the end
    assert len(stand_in.requests) == 2


def test_no_read_gives_more_than_was_asked_for(client: Firestream) -> None:
    with client.open(MESSAGES, plenty) as download:
        piece = download.read(5)
        assert 1 <= len(piece) <= 5
        assert piece == CONTENT[: len(piece)]


def test_the_login_goes_to_firestream_and_never_to_the_links_host(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    stand_in.fail(Fault.RESET)
    whole(client)
    assert {each.headers["Authorization"] for each in asked(stand_in, "api")} == {
        "Basic ZGVtby11c2VyOmRlbW8tcGFzc3dvcmQ="
    }
    links = asked(stand_in, "link")
    assert len(links) == 2
    assert [name for each in links for name in each.headers if name.lower() in {"authorization", "cookie"}] == []


def test_the_bytes_are_asked_for_as_they_are(client: Firestream, stand_in: FirestreamStandIn) -> None:
    whole(client)
    assert {each.headers["Accept-Encoding"] for each in stand_in.requests} == {"identity"}
    assert {each.headers["User-Agent"].partition("/")[0] for each in stand_in.requests} == {"StockTwitsRelay"}


def test_a_content_encoding_unpacks_nothing(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.CONTENT_ENCODING, times=None)
    stand_in.fail(Fault.RESET)
    assert whole(client) == CONTENT


@pytest.mark.parametrize("host", ["Firestream", "the link's host"])
@pytest.mark.parametrize("encoding", [b"", b"Content-Encoding: gzip\r\n"], ids=["plain", "packed"])
def test_an_error_without_an_end_is_read_to_a_bound(
    client_of: Callable[..., Firestream], host: str, encoding: bytes
) -> None:
    sent = 0

    def serve(connection: socket.socket) -> None:
        nonlocal sent
        if b"GET /backups/" in request_of(connection) and host != "Firestream":
            connection.sendall(FOUND % b"/elsewhere")
            return
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n" + encoding + b"\r\n")
        while sent < 1 << 26:
            connection.sendall(b"x" * (1 << 16))
            sent += 1 << 16

    with tcp_server(serve) as server:
        with pytest.raises(RelayError) as error:
            client_of(f"http://127.0.0.1:{server.port}/").open(MESSAGES, plenty)
        assert error.value.status == 400
        assert len(error.value.reason) < 400
    assert sent < 1 << 25  # what the sockets hold was under way; the rest never was


def test_a_redirect_may_be_relative(client_of: Callable[..., Firestream]) -> None:
    def serve(connection: socket.socket) -> None:
        if b"GET /backups/" in request_of(connection):
            connection.sendall(FOUND % b"/elsewhere")
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    with tcp_server(serve) as server:
        assert whole(client_of(f"http://127.0.0.1:{server.port}/")) == b"ok"


def test_downloads_may_run_in_several_threads(client: Firestream, stand_in: FirestreamStandIn) -> None:
    backups = [Backup(date(2024, 1, day), "message") for day in range(1, 9)]
    stand_in.fail(Fault.RESET, times=4)
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(lambda each: whole(client, each), backups))
    assert contents == [stand_in.content(each.file_type, each.day) for each in backups]


def test_an_empty_file_with_its_length_ends_at_once(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.EMPTY)
    assert whole(client) == b""
    assert len(stand_in.requests) == 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.FLIPPED_BYTE, "damaged"),
        (Fault.TRAILING_GARBAGE, "the gzip data"),
        (Fault.NOT_JSON, "line 201 is no JSON object"),
        (Fault.EMPTY, "the file is empty"),
        (Fault.CUT, "ends early"),
    ],
)
def test_a_spoilt_content_comes_as_it_is_and_the_verifier_refuses_it(
    client: Firestream, stand_in: FirestreamStandIn, fault: Fault, words: str
) -> None:
    stand_in.fail(fault)
    with client.open(MESSAGES, plenty) as download, pytest.raises(Corrupt, match=words):
        verify(io.BytesIO(read_on(download)))


def test_two_members_come_through_to_the_verifier(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.TWO_MEMBERS)
    with client.open(MESSAGES, plenty) as download:
        assert verify(io.BytesIO(read_on(download))).lines == 400


# A transfer that breaks goes on where it stopped


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.TRUNCATED, Fault.TRUNCATED_UNDECLARED])
@pytest.mark.parametrize("after", [1, 10, 0.5, SIZE - 1])
def test_a_broken_transfer_goes_on_where_it_stopped(
    client: Firestream, stand_in: FirestreamStandIn, fault: Fault, after: float
) -> None:
    stand_in.fail(fault, after=after)
    position = int(after * SIZE) if isinstance(after, float) else after
    with client.open(MESSAGES, plenty) as download:
        assert read_on(download) == CONTENT
        assert (download.resumes, download.size) == (1, SIZE)
    assert ranges(stand_in) == [None, f"bytes={position}-"]
    assert asked(stand_in, "link")[1].headers["If-Match"] == download.etag
    assert stand_in.served["message", DAY] == SIZE  # no byte came twice


def test_every_attempt_to_go_on_takes_a_fresh_link(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.RESET, times=3)
    whole(client)
    signatures = [each.query["X-Amz-Signature"] for each in asked(stand_in, "link")]
    assert len(set(signatures)) == stand_in.redirects == 4


def test_a_transfer_may_break_any_number_of_times_as_long_as_bytes_come(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    times = 3 * MAX_FAILURES
    stand_in.fail(Fault.RESET, times=times, after=100)
    with client.open(MESSAGES, plenty) as download:
        assert read_on(download) == CONTENT
        assert download.resumes == times
    assert stand_in.served["message", DAY] == SIZE


def test_a_transfer_that_breaks_before_its_first_byte_begins_anew(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    stand_in.fail(Fault.RESET, times=3, after=0)
    assert whole(client) == CONTENT
    assert ranges(stand_in) == [None] * 4


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.TRUNCATED, Fault.TRUNCATED_UNDECLARED])
def test_a_transfer_that_never_brings_a_byte_is_given_up(
    client: Firestream, stand_in: FirestreamStandIn, fault: Fault
) -> None:
    stand_in.fail(fault, times=None, after=0)
    error = failure(client)
    assert type(error) is Retry
    assert "at byte 0" in error.reason
    assert len(asked(stand_in, "link")) == MAX_FAILURES + 1


def test_a_transfer_that_brings_no_further_byte_is_given_up(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.RESET, after=5)
    stand_in.fail(Fault.RESET, times=None, after=0)
    error = failure(client)
    assert type(error) is Retry
    assert error.reason.startswith(f"message 2024-01-02 failed {MAX_FAILURES + 1} times at byte 5: ")
    assert ranges(stand_in) == [None, *["bytes=5-"] * MAX_FAILURES]


def test_the_waits_between_failures_double(
    stand_in: FirestreamStandIn, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    really_wait = threading.Event.wait

    def wait(event: threading.Event, timeout: float | None = None) -> bool:
        if timeout is None:  # not ours
            return really_wait(event)
        waits.append(timeout)
        return False

    monkeypatch.setattr(threading.Event, "wait", wait)
    stand_in.fail(Fault.ERROR, times=None)
    client = Firestream(stand_in.url, Vault(), clock)
    assert type(failure(client)) is Retry
    client.close()
    assert waits == [0.25, 0.5, 1, 2, 4, 8]


def test_failures_are_counted_anew_after_each_byte_that_comes(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.RESET, times=3, after=50)
    with client.open(MESSAGES, plenty) as download:
        got = b""
        for end in (50, 100, 150):
            while len(got) < end:
                got += download.read(end - len(got))
            stand_in.fail(Fault.ERROR, times=MAX_FAILURES - 1)
        assert got + read_on(download) == CONTENT


@pytest.mark.parametrize("after", [0.5, 10])
def test_a_link_that_expires_half_way_is_replaced_by_a_fresh_one(
    client: Firestream, stand_in: FirestreamStandIn, after: float
) -> None:
    stand_in.fail(Fault.EXPIRED, after=after)
    assert whole(client) == CONTENT
    assert stand_in.redirects == 2
    assert stand_in.served["message", DAY] == SIZE


def test_a_link_that_expires_before_it_is_used_is_replaced_too(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.EXPIRED)
    assert whole(client) == CONTENT
    assert stand_in.redirects == 2


def test_a_link_that_expires_while_the_transfer_runs_does_not_end_it(
    client: Firestream, stand_in: FirestreamStandIn, clock: Clock
) -> None:
    stand_in.fail(Fault.TRUNCATED)
    with client.open(MESSAGES, plenty) as download:
        first = download.read(10)
        clock.now += stand_in.link_seconds
        assert first + read_on(download) == CONTENT


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.UNAVAILABLE, Fault.SERVER_ERROR])
def test_a_few_errors_are_waited_out(client: Firestream, stand_in: FirestreamStandIn, fault: Fault) -> None:
    stand_in.fail(fault, times=MAX_FAILURES)
    assert whole(client) == CONTENT


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.UNAVAILABLE, Fault.SERVER_ERROR])
def test_errors_in_the_middle_are_waited_out(client: Firestream, stand_in: FirestreamStandIn, fault: Fault) -> None:
    stand_in.fail(Fault.RESET)
    with client.open(MESSAGES, plenty) as download:
        first = download.read(10)
        stand_in.fail(fault, times=MAX_FAILURES - 1)
        assert first + read_on(download) == CONTENT
    assert stand_in.served["message", DAY] == SIZE


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.ERROR, "Firestream answered 500: Something went wrong"),
        (Fault.UNAVAILABLE, "Firestream answered 503: The service is not available"),
        (Fault.SERVER_ERROR, "the link's host answered 503 SlowDown"),
        (Fault.EXPIRED, "the link's host answered 403 AccessDenied"),
    ],
)
def test_errors_for_ever_are_given_up_with_the_last_answer(
    client: Firestream, stand_in: FirestreamStandIn, fault: Fault, words: str
) -> None:
    stand_in.fail(fault, times=None)
    error = failure(client)
    assert type(error) is Retry
    assert error.reason == f"message 2024-01-02 failed {MAX_FAILURES + 1} times at byte 0: {words}"
    assert len(asked(stand_in, "api")) == MAX_FAILURES + 1


def test_a_file_that_is_missing_for_a_moment_in_the_middle_is_asked_for_again(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    stand_in.fail(Fault.RESET)
    with client.open(MESSAGES, plenty) as download:
        first = download.read(10)
        stand_in.fail(Fault.NOT_FOUND)
        assert first + read_on(download) == CONTENT


def test_a_silence_counts_as_broken(stand_in: FirestreamStandIn, impatient: Firestream) -> None:
    stand_in.fail(Fault.STALL, after=1000)
    with impatient.open(MESSAGES, plenty) as download:
        assert read_on(download) == CONTENT
        assert download.resumes == 1
    assert stand_in.served["message", DAY] == SIZE


def test_a_silence_for_ever_is_given_up(stand_in: FirestreamStandIn, impatient: Firestream) -> None:
    stand_in.fail(Fault.STALL, times=None, after=0)
    error = failure(impatient)
    assert type(error) is Retry
    assert "the transfer broke (TimeoutError)" in error.reason


def test_a_server_that_is_down_is_tried_a_few_times(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.stop()
    error = failure(client)
    assert type(error) is Retry
    assert error.reason.endswith("Firestream could not be reached, or did not answer (ConnectionRefusedError)")


def test_a_server_that_goes_down_in_the_middle_and_comes_back_is_gone_on_with(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    stand_in.fail(Fault.STALL, after=1000)
    with client.open(MESSAGES, plenty) as download:
        got = b""
        while len(got) < 1000:
            got += download.read(MOST)
        stand_in.stop()
        back = threading.Thread(target=stand_in.start)
        back.start()
        assert got + read_on(download) == CONTENT
        back.join()
    assert ranges(stand_in)[-1] == "bytes=1000-"


# A file without a length


def test_without_a_length_the_end_is_confirmed(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.NO_LENGTH, times=None)
    with client.open(MESSAGES, plenty) as download:
        assert download.size is None
        assert read_on(download) == CONTENT
        assert (download.size, download.resumes) == (SIZE, 0)
        assert read_on(download) == b""
    assert ranges(stand_in) == [None, f"bytes={SIZE}-"]
    assert stand_in.served["message", DAY] == SIZE


@pytest.mark.parametrize("chunked", [False, True])
def test_a_transfer_that_ends_early_without_a_length_is_noticed_and_gone_on_with(
    client: Firestream, stand_in: FirestreamStandIn, *, chunked: bool
) -> None:
    stand_in.fail(Fault.TRUNCATED_UNDECLARED, after=1000, chunked=chunked)
    with client.open(MESSAGES, plenty) as download:
        assert read_on(download) == CONTENT
        assert (download.size, download.resumes) == (SIZE, 1)
    assert ranges(stand_in) == [None, "bytes=1000-"]
    assert stand_in.served["message", DAY] == SIZE


def test_without_a_length_a_transfer_may_break_several_times(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.NO_LENGTH, times=None)
    stand_in.fail(Fault.TRUNCATED_UNDECLARED, times=3, after=1000)
    assert whole(client) == CONTENT
    assert ranges(stand_in) == [None, "bytes=1000-", "bytes=2000-", "bytes=3000-"]


def test_a_confirmation_that_fails_is_asked_for_again(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.NO_LENGTH, times=None)
    with client.open(MESSAGES, plenty) as download:
        first = download.read(10)
        stand_in.fail(Fault.ERROR, times=2)
        assert first + read_on(download) == CONTENT


# A file that changes


def test_a_file_that_changes_half_way_is_begun_anew_by_the_caller(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    stand_in.fail(Fault.CHANGED)
    error = failure(client)
    assert type(error) is StartOver
    assert error.reason == f"message 2024-01-02 broke at byte {SIZE // 2}, and has changed since (412)"
    assert whole(client) == stand_in.content("message", DAY) != CONTENT


def test_a_server_that_gives_no_parts_makes_the_caller_begin_anew(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    stand_in.fail(Fault.RESET)
    stand_in.fail(Fault.NO_RANGE)
    with client.open(MESSAGES, plenty) as download, pytest.raises(StartOver, match=r"\(200\)"):
        read_on(download)


def a_host(*answers: bytes) -> Callable[[Any], None]:
    """Be both hosts: a link for every login, and for the link these answers, one after the other."""
    left = list(answers)

    def serve(connection: Any) -> None:
        request = request_of(connection)
        if b"GET /backups/" in request:
            host = request.partition(b"Host: ")[2].partition(b"\r\n")[0]
            connection.sendall(FOUND % (b"http://%b/link" % host))
        else:
            connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return serve


def an_answer(status: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *headers, "", ""]).encode() + body


@pytest.mark.parametrize("etag", [[], ['ETag: W/"0123"'], ["ETag: "]])
def test_what_cannot_be_told_to_be_the_same_file_is_begun_anew(
    client_of: Callable[..., Firestream], etag: list[str]
) -> None:
    with tcp_server(a_host(an_answer("200 OK", "Content-Length: 9", *etag, body=b"half"))) as server:
        error = failure(client_of(f"http://127.0.0.1:{server.port}"))
    assert type(error) is StartOver
    assert error.reason == "message 2024-01-02 broke at byte 4, and has no ETag to take it up with"


@pytest.mark.parametrize(
    "answer",
    [
        an_answer("206 Partial", "Content-Range: bytes 4-9/10", body=b"-other"),  # another size
        an_answer("206 Partial", "Content-Range: bytes 0-8/9", body=b"half-done"),  # another start
        an_answer("206 Partial", "Content-Range: bytes 4-8/*", body=b"-done"),
        an_answer("206 Partial", body=b"-done"),
        an_answer("200 OK", "Content-Range: bytes 4-8/9", body=b"-done"),
        an_answer("200 OK", "Content-Length: 9", body=b"half-done"),
        an_answer("412 Precondition Failed"),
        an_answer("416 Range Not Satisfiable", "Content-Range: bytes */4"),  # shorter now
        an_answer("416 Range Not Satisfiable", "Content-Range: bytes */9"),  # and yet not satisfiable
        an_answer("416 Range Not Satisfiable"),
    ],
)
def test_an_answer_that_is_not_the_rest_of_the_same_file_is_begun_anew(
    client_of: Callable[..., Firestream], answer: bytes
) -> None:
    half = an_answer("200 OK", "Content-Length: 9", f"ETag: {ETAG}", body=b"half")
    with tcp_server(a_host(half, answer)) as server:
        error = failure(client_of(f"http://127.0.0.1:{server.port}"))
    assert type(error) is StartOver
    assert "broke at byte 4, and has changed since" in error.reason


@pytest.mark.parametrize(
    "answer",
    [
        an_answer("416 Range Not Satisfiable", "Content-Range: bytes */5"),
        an_answer("416 Range Not Satisfiable"),
        an_answer("200 OK", body=b"half-done"),
        an_answer("206 Partial", "Content-Range: bytes 4-8/*", body=b"-done"),
    ],
)
def test_without_a_length_the_end_must_be_confirmed_by_the_very_size(
    client_of: Callable[..., Firestream], answer: bytes
) -> None:
    half = an_answer("200 OK", f"ETag: {ETAG}", body=b"half")
    with tcp_server(a_host(half, answer)) as server:
        assert type(failure(client_of(f"http://127.0.0.1:{server.port}"))) is StartOver


def test_an_empty_file_without_a_length_is_given_up(client_of: Callable[..., Firestream]) -> None:
    with tcp_server(a_host(an_answer("200 OK"))) as server:
        error = failure(client_of(f"http://127.0.0.1:{server.port}"))
    assert type(error) is Retry
    assert "failed 7 times at byte 0: the transfer ended after 0 bytes" in error.reason
    assert server.received.count(b"GET /link") == MAX_FAILURES + 1


# What Firestream refuses


def test_a_missing_file_is_absent(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.NOT_FOUND)
    error = failure(client)
    assert (type(error), error.status, error.pause) == (Absent, 404, None)
    assert error.reason == "Firestream has no file for message 2024-01-02 (404: The file was not found)"
    assert len(stand_in.requests) == 1


def test_a_refused_day_is_rejected(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.BAD_REQUEST)
    error = failure(client)
    assert (type(error), error.status, error.pause) == (Reject, 400, None)
    assert error.reason == (
        "Firestream refused to look for message 2024-01-02 (400: Please verify that the date is correct)"
    )
    assert len(stand_in.requests) == 1


def refusing(status: int, body: bytes = b"") -> Callable[[Any], None]:
    def serve(connection: Any) -> None:
        request_of(connection)
        connection.sendall(an_answer(f"{status} So", f"Content-Length: {len(body)}", body=body))

    return serve


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_halts_and_says_whose_it_is(client_of: Callable[..., Firestream], status: int) -> None:
    with tcp_server(refusing(status, b"Not you")) as server:
        error = failure(client_of(f"http://127.0.0.1:{server.port}"))
    assert (type(error), error.status) == (Halt, status)
    reason = f"Firestream refused the login of demo-user ({status}: Not you): store one that may read backups"
    assert error.pause == Pause("firestream_refused", reason, NOW + REFUSED_SECONDS)


def test_a_refused_login_is_read_once_more_and_not_tried_twice(
    client_of: Callable[..., Firestream], stand_in: FirestreamStandIn
) -> None:
    vault = Vault("old")
    assert isinstance(failure(client_of(stand_in.url, vault)), Halt)
    assert (vault.fresh_reads, len(stand_in.requests)) == (1, 1)


def test_a_newer_password_is_tried_at_once_and_works(
    client_of: Callable[..., Firestream], stand_in: FirestreamStandIn
) -> None:
    vault = Vault("old", PASSWORD)
    assert whole(client_of(stand_in.url, vault)) == CONTENT
    assert (vault.fresh_reads, len(asked(stand_in, "api"))) == (1, 2)


def test_a_newer_password_that_is_refused_too_halts(
    client_of: Callable[..., Firestream], stand_in: FirestreamStandIn
) -> None:
    vault = Vault("old", "newer")
    assert isinstance(failure(client_of(stand_in.url, vault)), Halt)
    assert (vault.fresh_reads, len(stand_in.requests)) == (1, 2)


def test_a_refused_login_that_cannot_be_read_again_halts(
    client_of: Callable[..., Firestream], stand_in: FirestreamStandIn
) -> None:
    vault = Vault("old", Retry("the parameter was not answered for"))
    assert isinstance(failure(client_of(stand_in.url, vault)), Halt)
    assert len(stand_in.requests) == 1


def test_a_refused_login_is_not_tried_again_for_a_while(
    client_of: Callable[..., Firestream], stand_in: FirestreamStandIn, clock: Clock
) -> None:
    vault = Vault("old")
    client = client_of(stand_in.url, vault)
    first = failure(client)
    clock.now = NOW + REFUSED_SECONDS - 1
    again = failure(client, Backup(date(2024, 1, 3), "activity"))
    assert (type(again), again.reason, again.pause) == (Halt, first.reason, first.pause)
    assert (vault.fresh_reads, len(stand_in.requests)) == (2, 1)


def test_another_login_is_tried_at_once(client_of: Callable[..., Firestream], stand_in: FirestreamStandIn) -> None:
    vault = Vault("old")
    client = client_of(stand_in.url, vault)
    failure(client)
    vault.stored = PASSWORD
    assert whole(client) == CONTENT


def test_after_that_while_the_login_is_tried_again(
    client_of: Callable[..., Firestream], stand_in: FirestreamStandIn, clock: Clock
) -> None:
    vault = Vault("old")
    client = client_of(stand_in.url, vault)
    failure(client)
    clock.now = NOW + REFUSED_SECONDS
    failure(client)
    assert len(stand_in.requests) == 2


def test_a_login_that_is_refused_in_the_middle_halts(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.RESET)
    with client.open(MESSAGES, plenty) as download:
        download.read(10)
        stand_in.fail(Fault.UNAUTHORIZED)
        with pytest.raises(Halt):
            read_on(download)


def test_a_login_that_cannot_be_read_at_all_says_why(
    client_of: Callable[..., Firestream], stand_in: FirestreamStandIn
) -> None:
    def unreadable(*, fresh: bool = False) -> Login:
        raise Halt(Pause("login_unreadable", "store it", NOW + 300))

    error = failure(client_of(stand_in.url, unreadable))
    assert (type(error), error.reason) == (Halt, "store it")
    assert stand_in.requests == []


@pytest.mark.parametrize("status", [200, 204, 301, 303, 307, 308, 418, 429])
def test_any_other_answer_is_asked_for_again_and_then_given_up(
    client_of: Callable[..., Firestream], status: int
) -> None:
    with tcp_server(refusing(status)) as server:
        error = failure(client_of(f"http://127.0.0.1:{server.port}"))
    assert type(error) is Retry
    assert error.reason.endswith(f"Firestream answered {status}")


@pytest.mark.parametrize("body", [b"\x1f\x8b\x08\0\xff", b"", b"   \n "])
def test_an_answer_without_words_is_not_quoted(client_of: Callable[..., Firestream], body: bytes) -> None:
    with tcp_server(refusing(404, body)) as server:
        error = failure(client_of(f"http://127.0.0.1:{server.port}"))
    assert error.reason == "Firestream has no file for message 2024-01-02 (404)"


def test_a_long_answer_is_cut_short_and_put_on_one_line(client_of: Callable[..., Firestream]) -> None:
    with tcp_server(refusing(404, b"not\r\nfound " * 100_000)) as server:
        error = failure(client_of(f"http://127.0.0.1:{server.port}"))
    assert error.reason.startswith("Firestream has no file for message 2024-01-02 (404: not found not found")
    assert len(error.reason) < 300


# Redirects that go astray


@pytest.mark.parametrize("location", ["", "ftp://127.0.0.1/a.gz", "file:///etc/passwd", "http://[::1/a.gz"])
def test_a_redirect_that_leads_nowhere_is_not_followed(client_of: Callable[..., Firestream], location: str) -> None:
    def serve(connection: Any) -> None:
        request_of(connection)
        connection.sendall(FOUND % location.encode())

    with tcp_server(serve) as server:
        error = failure(client_of(f"http://127.0.0.1:{server.port}"))
    assert type(error) is Retry
    assert "answered 302 without a link that is as safe as its own address" in error.reason


def test_a_redirect_without_a_location_is_not_followed(client_of: Callable[..., Firestream]) -> None:
    with tcp_server(refusing(302)) as server:
        error = failure(client_of(f"http://127.0.0.1:{server.port}"))
    assert type(error) is Retry
    assert "answered 302 without a link" in error.reason


def test_a_redirect_from_tls_to_none_is_not_followed(
    client_of: Callable[..., Firestream], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: Any) -> None:
        request_of(connection)
        connection.sendall(FOUND % (b"http://127.0.0.1:%d/a.gz" % plain.port))

    tls, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with tcp_server(refusing(200)) as plain, tcp_server(serve, tls) as safe:
        error = failure(client_of(f"https://127.0.0.1:{safe.port}"))
    assert type(error) is Retry
    assert "as safe as its own address" in error.reason
    assert plain.received == b""


def test_a_link_over_tls_is_followed(
    client_of: Callable[..., Firestream], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(connection: Any) -> None:
        if b"GET /backups/" in request_of(connection):
            connection.sendall(FOUND % (b"https://127.0.0.1:%d/a.gz" % safe.port))
        else:
            connection.sendall(an_answer("200 OK", "Content-Length: 2", body=b"ok"))

    tls, certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with tcp_server(serve, tls) as safe:
        assert whole(client_of(f"https://127.0.0.1:{safe.port}")) == b"ok"


def test_a_certificate_that_nobody_trusts_gets_no_login(client_of: Callable[..., Firestream], tmp_path: Path) -> None:
    tls, _ = self_signed(tmp_path)
    with tcp_server(refusing(404), tls) as server:
        error = failure(client_of(f"https://127.0.0.1:{server.port}"))
    assert type(error) is Retry
    assert "SSLCertVerificationError" in error.reason
    assert server.received == b""


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_of_the_links_host_is_not_followed(client_of: Callable[..., Firestream], status: int) -> None:
    away = an_answer(f"{status} So", "Location: http://127.0.0.1:9/away", "Content-Length: 0")
    with tcp_server(a_host(away)) as server:
        error = failure(client_of(f"http://127.0.0.1:{server.port}"))
    assert type(error) is Retry
    assert error.reason.endswith(f"the link's host answered {status}")


def test_a_proxy_in_the_environment_is_not_used(client: Firestream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert whole(client) == CONTENT


# When to stop


def test_nothing_is_begun_when_time_has_run_out(client: Firestream, stand_in: FirestreamStandIn) -> None:
    with pytest.raises(Retry, match="this invocation's time ran out at byte 0 of message 2024-01-02"):
        client.open(MESSAGES, lambda: STOP_SECONDS - 1)
    assert stand_in.requests == []


def test_a_transfer_is_given_up_when_time_runs_out(client: Firestream, stand_in: FirestreamStandIn) -> None:
    left = [STOP_SECONDS]
    with client.open(MESSAGES, lambda: left[0]) as download:
        got = len(download.read(100))
        left[0] -= 0.1
        with pytest.raises(Retry, match=f"time ran out at byte {got} of"):
            download.read(MOST)


def test_a_transfer_that_keeps_breaking_is_given_up_when_time_runs_out(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    stand_in.fail(Fault.ERROR, times=None)
    seconds = iter([900.0, 900.0, 900.0, STOP_SECONDS - 1])
    with pytest.raises(Retry, match="time ran out at byte 0"):
        client.open(MESSAGES, lambda: next(seconds))
    assert len(stand_in.requests) == 3


def reading_aside(download: Download) -> tuple[threading.Thread, list[BaseException]]:
    """Read in another thread, and keep what it ends with."""
    ended: list[BaseException] = []

    def read() -> None:
        try:
            download.read(MOST)
        except BaseException as error:  # noqa: BLE001  whichever it is
            ended.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader, ended


def test_closing_ends_a_read_that_waits_in_another_thread(
    client: Firestream, stand_in: FirestreamStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.fail(Fault.STALL, times=None, after=1000)
    download = client.open(MESSAGES, plenty)
    got = b""
    while len(got) < 1000:
        got += download.read(MOST)
    waits = threading.Event()
    really_read = download._read
    monkeypatch.setattr(download, "_read", lambda most: (waits.set(), really_read(most))[1])
    reader, ended = reading_aside(download)
    assert waits.wait(5)
    download.close()
    reader.join(5)
    assert not reader.is_alive()
    assert len(ended) == 1
    assert len(asked(stand_in, "link")) == 1  # it did not try to go on


def test_closing_ends_a_wait_between_two_attempts(stand_in: FirestreamStandIn, clock: Clock) -> None:
    waits = threading.Event()

    class Told(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.set()
            return super().wait(timeout)

    client = Firestream(stand_in.url, Vault(), clock, first_wait_seconds=60)
    stand_in.fail(Fault.RESET, times=None, after=0)
    download = client.open(MESSAGES, plenty)
    download._closed = Told()
    reader, ended = reading_aside(download)
    assert waits.wait(5)
    download.close()
    reader.join(5)
    assert not reader.is_alive()
    assert [str(each) for each in ended] == ["the transfer was given up"]
    client.close()


def test_what_was_closed_gives_nothing_more(client: Firestream, stand_in: FirestreamStandIn) -> None:
    download = client.open(MESSAGES, plenty)
    download.read(10)
    download.close()
    download.close()
    with pytest.raises(Retry, match="the transfer was given up"):
        download.read(MOST)
    assert len(stand_in.requests) == 2


# What must never be seen


FAILING = [
    *({"fault": fault, "times": None} for fault in ("400", "401", "404", "500", "503", "link-503", "expired")),
    *({"fault": fault, "times": None, "after": 0} for fault in ("reset", "truncated", "truncated-undeclared", "stall")),
    {"fault": "changed"},
]


def secrets_of(stand_in: FirestreamStandIn) -> set[str]:
    """The password, as it is and as it is sent, and what makes each link work."""
    seen = {each.query["X-Amz-Signature"] for each in asked(stand_in, "link")}
    return {PASSWORD, "ZGVtby11c2VyOmRlbW8tcGFzc3dvcmQ", "X-Amz-", *seen}


@pytest.mark.parametrize("plan", FAILING, ids=lambda plan: plan["fault"])
@pytest.mark.parametrize("middle", [False, True])
def test_neither_the_password_nor_a_link_is_in_an_error_or_a_log(
    stand_in: FirestreamStandIn, impatient: Firestream, caplog: pytest.LogCaptureFixture, plan: Any, *, middle: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    if middle:
        stand_in.fail(Fault.RESET, after=100)
        with impatient.open(MESSAGES, plenty) as download:
            stand_in.fail(**plan)
            with pytest.raises(RelayError) as failed:
                read_on(download)
        error = failed.value
    else:
        stand_in.fail(**plan)
        error = failure(impatient)
    shown = "".join(traceback.format_exception(error)) + repr(error) + caplog.text
    assert {each for each in secrets_of(stand_in) if each in shown} == set()


def test_an_answer_that_repeats_the_password_is_not_quoted_with_it(client_of: Callable[..., Firestream]) -> None:
    text = f"no such login: {USER}:{PASSWORD} (ZGVtby11c2VyOmRlbW8tcGFzc3dvcmQ=)"
    with tcp_server(refusing(401, text.encode())) as server:
        error = failure(client_of(f"http://127.0.0.1:{server.port}"))
    assert "no such login: demo-user:… (…)" in error.reason


def test_the_words_of_the_links_host_are_not_quoted_but_for_the_code(client_of: Callable[..., Firestream]) -> None:
    told = b"<Error><Code>SignatureDoesNotMatch</Code><StringToSign>s3cret</StringToSign></Error>"
    with tcp_server(a_host(an_answer("403 Forbidden", body=told))) as server:
        error = failure(client_of(f"http://127.0.0.1:{server.port}"))
    assert error.reason.endswith("the link's host answered 403 SignatureDoesNotMatch")


def test_a_link_may_hold_anything_and_shows_nothing(client_of: Callable[..., Firestream]) -> None:
    for location in (b"http://127.0.0.1:9/s3cret\tx", b"http://127.0.0.1:99999/s3cret", b"http://a\xff b/s3cret"):

        def serve(connection: Any, location: bytes = location) -> None:
            request_of(connection)
            connection.sendall(FOUND % location)

        with tcp_server(serve) as server:
            error = failure(client_of(f"http://127.0.0.1:{server.port}"))
        assert type(error) is Retry
        assert "s3cret" not in "".join(traceback.format_exception(error))
