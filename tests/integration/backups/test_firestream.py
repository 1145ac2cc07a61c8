"""Downloads from Firestream over real HTTP: what is requested, what is returned, and when a download stops."""

import hashlib
import io
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from relay.backups.backup import Backup
from relay.backups.firestream import STOP_SECONDS, Download, Firestream
from relay.backups.verifier import verify
from relay.errors import Corrupt, RelayError, Retry

from local.stand_ins.firestream.faults import Fault
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.servers import request_of, tcp_server
from tests.worlds.clock import Clock
from tests.worlds.firestream import (
    CONTENT,
    DAY,
    FOUND,
    MESSAGES,
    MOST,
    SIZE,
    MakeClient,
    StoredLogin,
    download_all,
    plenty,
    read_all,
    requests_to,
)


@pytest.mark.parametrize("file_type", ["message", "activity"])
def test_a_backup_is_read_byte_for_byte(client: Firestream, stand_in: FirestreamStandIn, file_type: str) -> None:
    backup = Backup(DAY, file_type)
    assert download_all(client, backup) == stand_in.content(file_type, DAY)
    assert [each.path for each in requests_to(stand_in, "api")] == [f"/backups/{file_type}/2024/01/02"]
    assert (stand_in.redirects, len(requests_to(stand_in, "link"))) == (1, 1)


def test_a_download_has_its_size_and_its_etag_before_its_first_byte(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    with client.open(MESSAGES, plenty) as download:
        assert (download.size, download.position, download.resumes) == (SIZE, 0, 0)
        assert download.etag == f'"{hashlib.md5(CONTENT).hexdigest()}-3"'
        read_all(download)
        assert (download.position, download.resumes) == (SIZE, 0)
        assert read_all(download) == b""
    assert len(stand_in.requests) == 2


def test_a_read_returns_no_more_than_was_requested(client: Firestream) -> None:
    with client.open(MESSAGES, plenty) as download:
        piece = download.read(5)
        assert 1 <= len(piece) <= 5
        assert piece == CONTENT[: len(piece)]


def test_the_login_is_sent_to_firestream_and_never_to_the_links_host(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    stand_in.fail(Fault.RESET)
    download_all(client)
    assert {each.headers["Authorization"] for each in requests_to(stand_in, "api")} == {
        "Basic ZGVtby11c2VyOmRlbW8tcGFzc3dvcmQ="
    }
    links = requests_to(stand_in, "link")
    assert len(links) == 2
    assert [name for each in links for name in each.headers if name.lower() in {"authorization", "cookie"}] == []


def test_the_bytes_are_requested_without_a_content_encoding(client: Firestream, stand_in: FirestreamStandIn) -> None:
    download_all(client)
    assert {each.headers["Accept-Encoding"] for each in stand_in.requests} == {"identity"}
    assert {each.headers["User-Agent"].partition("/")[0] for each in stand_in.requests} == {"StockTwitsRelay"}


def test_a_content_encoding_is_not_decoded(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.CONTENT_ENCODING, times=None)
    stand_in.fail(Fault.RESET)
    assert download_all(client) == CONTENT


@pytest.mark.parametrize("host", ["Firestream", "the link's host"])
@pytest.mark.parametrize("encoding", [b"", b"Content-Encoding: gzip\r\n"], ids=["plain", "packed"])
def test_an_endless_error_is_read_up_to_a_limit(make_client: MakeClient, host: str, encoding: bytes) -> None:
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
            make_client(f"http://127.0.0.1:{server.port}/").open(MESSAGES, plenty)
        assert error.value.status == 400
        assert len(error.value.reason) < 400
    assert sent < 1 << 25  # the sockets buffer some of it; the rest was never sent


def test_a_redirect_may_be_relative(make_client: MakeClient) -> None:
    def serve(connection: socket.socket) -> None:
        if b"GET /backups/" in request_of(connection):
            connection.sendall(FOUND % b"/elsewhere")
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    with tcp_server(serve) as server:
        assert download_all(make_client(f"http://127.0.0.1:{server.port}/")) == b"ok"


def test_downloads_may_run_in_several_threads(client: Firestream, stand_in: FirestreamStandIn) -> None:
    backups = [Backup(date(2024, 1, day), "message") for day in range(1, 9)]
    stand_in.fail(Fault.RESET, times=4)
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(lambda each: download_all(client, each), backups))
    assert contents == [stand_in.content(each.file_type, each.day) for each in backups]


def test_an_empty_file_with_its_length_ends_at_once(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.EMPTY)
    assert download_all(client) == b""
    assert len(stand_in.requests) == 2


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.FLIPPED_BYTE, "damaged"),
        (Fault.TRAILING_GARBAGE, "the gzip data"),
        (Fault.EMPTY, "the file is empty"),
        (Fault.CUT, "ends early"),
    ],
)
def test_damaged_content_is_returned_unchanged_and_the_verifier_rejects_it(
    client: Firestream, stand_in: FirestreamStandIn, fault: Fault, expected: str
) -> None:
    stand_in.fail(fault)
    with client.open(MESSAGES, plenty) as download, pytest.raises(Corrupt, match=expected):
        verify(io.BytesIO(read_all(download)))


def test_a_file_with_an_odd_line_is_returned_unchanged_and_the_verifier_counts_it(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    stand_in.fail(Fault.NOT_JSON)
    with client.open(MESSAGES, plenty) as download:
        found = verify(io.BytesIO(read_all(download)))
    assert (found.lines, found.odd, found.first_odd) == (400, 1, 201)


def test_a_file_of_two_gzip_members_is_returned_unchanged(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.TWO_MEMBERS)
    with client.open(MESSAGES, plenty) as download:
        assert verify(io.BytesIO(read_all(download))).lines == 400


# When to stop


def test_nothing_is_started_when_time_has_run_out(client: Firestream, stand_in: FirestreamStandIn) -> None:
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
    """Read in another thread; returns the thread, and a list for the error that ends it."""
    ended: list[BaseException] = []

    def read() -> None:
        try:
            download.read(MOST)
        except BaseException as error:  # noqa: BLE001  the test looks at it
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

    def read(most: int) -> bytes:
        waits.set()
        return really_read(most)

    monkeypatch.setattr(download, "_read", read)
    reader, ended = reading_aside(download)
    assert waits.wait(5)
    download.close()
    reader.join(5)
    assert not reader.is_alive()
    assert len(ended) == 1
    assert len(requests_to(stand_in, "link")) == 1  # it was not resumed


def test_closing_ends_a_wait_between_two_attempts(stand_in: FirestreamStandIn, clock: Clock) -> None:
    waits = threading.Event()

    class Observed(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.set()
            return super().wait(timeout)

    client = Firestream(stand_in.url, StoredLogin(), clock, first_wait_seconds=60)
    stand_in.fail(Fault.RESET, times=None, after=0)
    download = client.open(MESSAGES, plenty)
    download._closed = Observed()
    reader, ended = reading_aside(download)
    assert waits.wait(5)
    download.close()
    reader.join(5)
    assert not reader.is_alive()
    assert [str(each) for each in ended] == ["the transfer was given up"]
    client.close()


def test_a_closed_download_returns_nothing_more(client: Firestream, stand_in: FirestreamStandIn) -> None:
    download = client.open(MESSAGES, plenty)
    download.read(10)
    download.close()
    download.close()
    with pytest.raises(Retry, match="the transfer was given up"):
        download.read(MOST)
    assert len(stand_in.requests) == 2
