"""What the client does when Firestream refuses the file, the day or the login."""

import socket
from collections.abc import Callable
from datetime import date

import pytest
from relay.backups.backup import Backup
from relay.backups.firestream import MAX_REFUSED_DAYS, REFUSED_SECONDS, Firestream
from relay.credentials import Login
from relay.errors import Absent, Halt, Pause, Refused, Reject, Retry, Wait

from local.stand_ins.firestream.faults import Fault
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.servers import request_of, tcp_server
from tests.worlds.clock import Clock
from tests.worlds.firestream import (
    CONTENT,
    MESSAGES,
    PASSWORD,
    MakeClient,
    Serve,
    StoredLogin,
    always,
    both_hosts,
    download_all,
    failure,
    plenty,
    read_all,
    requests_to,
    response,
)


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


def test_a_refused_login_halts_and_names_the_user(make_client: MakeClient, clock: Clock) -> None:
    with tcp_server(always(401, b"Not you")) as server:
        error = failure(make_client(f"http://127.0.0.1:{server.port}"))
    assert (type(error), error.status) == (Halt, 401)
    reason = "Firestream refused the login of demo-user (401: Not you): store one that may read backups"
    assert error.pause == Pause("firestream_refused", reason, clock() + REFUSED_SECONDS)


def test_a_day_that_is_refused_is_that_days_failure_until_three_in_a_row_are(make_client: MakeClient) -> None:
    with tcp_server(always(403, b"not in your plan")) as server:
        client = make_client(f"http://127.0.0.1:{server.port}")
        errors = [failure(client) for _ in range(MAX_REFUSED_DAYS)]
    assert [(type(each), each.status) for each in errors] == [(Refused, 403), (Refused, 403), (Halt, 403)]
    assert errors[0].reason == "Firestream refuses message 2024-01-02 (403: not in your plan)"
    assert server.received.count(b"GET ") == MAX_REFUSED_DAYS


def test_a_day_that_is_given_ends_the_row_of_refused_ones(make_client: MakeClient) -> None:
    statuses = iter(["403 So", "403 So", "200 OK", "403 So", "403 So", "200 OK"])

    def serve(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(response(next(statuses), "Content-Length: 2", body=b"ok"))

    with tcp_server(serve) as server:
        client = make_client(f"http://127.0.0.1:{server.port}")
        for _ in range(2):
            assert [type(failure(client)) for _ in range(2)] == [Refused, Refused]
            assert download_all(client) == b"ok"


def test_a_file_that_the_links_host_does_not_have_is_absent(make_client: MakeClient) -> None:
    gone = response("404 Not Found", body=b"<Error><Code>NoSuchKey</Code><Key>s3cret</Key></Error>")
    with tcp_server(both_hosts(gone)) as server:
        error = failure(make_client(f"http://127.0.0.1:{server.port}"))
    assert (type(error), error.status) == (Absent, 404)
    assert error.reason == "the link's host has no file for message 2024-01-02 (404 NoSuchKey)"


def firestream_limits(status: int, header: str) -> Serve:
    return always(status, b"slow down", header)


def links_host_limits(status: int, header: str) -> Serve:
    return both_hosts(response(f"{status} So", header, body=b"slow down"))


@pytest.mark.parametrize("serve", [firestream_limits, links_host_limits])
@pytest.mark.parametrize("status", [429, 503])
def test_a_long_wait_that_is_asked_for_is_not_shortened(
    make_client: MakeClient, clock: Clock, serve: Callable[[int, str], Serve], status: int
) -> None:
    with tcp_server(serve(status, "Retry-After: 3600")) as server:
        error = failure(make_client(f"http://127.0.0.1:{server.port}"))
    assert (type(error), error.status) == (Wait, status)
    assert error.pause is not None
    assert (error.pause.cause, error.pause.until) == ("firestream_limited", clock() + 3600)
    assert f"asks to wait ({status})" in error.reason
    assert server.received.count(b"GET /") <= 2


@pytest.mark.parametrize("header", ["Retry-After: soon", "Retry-After: -1", "X-Other: 3600"])
def test_a_wait_without_an_end_is_a_failure_like_others(make_client: MakeClient, header: str) -> None:
    with tcp_server(firestream_limits(429, header)) as server:
        assert type(failure(make_client(f"http://127.0.0.1:{server.port}"))) is Retry


def test_a_refused_login_is_read_once_more_and_not_tried_twice(
    make_client: MakeClient, stand_in: FirestreamStandIn
) -> None:
    login = StoredLogin("old")
    assert isinstance(failure(make_client(stand_in.url, login)), Halt)
    assert (login.fresh_reads, len(stand_in.requests)) == (1, 1)


def test_a_newer_password_is_tried_at_once_and_works(make_client: MakeClient, stand_in: FirestreamStandIn) -> None:
    login = StoredLogin("old", PASSWORD)
    assert download_all(make_client(stand_in.url, login)) == CONTENT
    assert (login.fresh_reads, len(requests_to(stand_in, "api"))) == (1, 2)


def test_a_newer_password_that_is_refused_too_halts(make_client: MakeClient, stand_in: FirestreamStandIn) -> None:
    login = StoredLogin("old", "newer")
    assert isinstance(failure(make_client(stand_in.url, login)), Halt)
    assert (login.fresh_reads, len(stand_in.requests)) == (1, 2)


def test_a_refused_login_that_cannot_be_read_again_halts(make_client: MakeClient, stand_in: FirestreamStandIn) -> None:
    login = StoredLogin("old", Retry("the parameter was not answered for"))
    assert isinstance(failure(make_client(stand_in.url, login)), Halt)
    assert len(stand_in.requests) == 1


def test_a_refused_login_is_not_tried_again_for_a_while(
    make_client: MakeClient, stand_in: FirestreamStandIn, clock: Clock
) -> None:
    login = StoredLogin("old")
    client = make_client(stand_in.url, login)
    first = failure(client)
    clock.forward(REFUSED_SECONDS - 1)
    again = failure(client, Backup(date(2024, 1, 3), "activity"))
    assert (type(again), again.reason, again.pause) == (Halt, first.reason, first.pause)
    assert (login.fresh_reads, len(stand_in.requests)) == (2, 1)


def test_another_login_is_tried_at_once(make_client: MakeClient, stand_in: FirestreamStandIn) -> None:
    login = StoredLogin("old")
    client = make_client(stand_in.url, login)
    failure(client)
    login.stored = PASSWORD
    assert download_all(client) == CONTENT


def test_a_refused_login_is_tried_again_after_a_while(
    make_client: MakeClient, stand_in: FirestreamStandIn, clock: Clock
) -> None:
    login = StoredLogin("old")
    client = make_client(stand_in.url, login)
    failure(client)
    clock.forward(REFUSED_SECONDS)
    failure(client)
    assert len(stand_in.requests) == 2


def test_a_login_that_is_refused_in_the_middle_halts(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.RESET)
    with client.open(MESSAGES, plenty) as download:
        download.read(10)
        stand_in.fail(Fault.UNAUTHORIZED)
        with pytest.raises(Halt):
            read_all(download)


def test_a_login_that_cannot_be_read_at_all_is_explained(
    make_client: MakeClient, stand_in: FirestreamStandIn, clock: Clock
) -> None:
    def unreadable(*, fresh: bool = False) -> Login:
        raise Halt(Pause("login_unreadable", "store it", clock() + 300))

    error = failure(make_client(stand_in.url, unreadable))
    assert (type(error), error.reason) == (Halt, "store it")
    assert stand_in.requests == []


@pytest.mark.parametrize("status", [204, 304, 418, 429, 500])
def test_any_other_answer_is_retried_and_then_given_up(make_client: MakeClient, status: int) -> None:
    with tcp_server(always(status)) as server:
        error = failure(make_client(f"http://127.0.0.1:{server.port}"))
    assert type(error) is Retry
    assert error.reason.endswith(f"Firestream answered {status}")


@pytest.mark.parametrize("body", [b"\x1f\x8b\x08\0\xff", b"", b"   \n "])
def test_an_answer_without_text_is_not_quoted(make_client: MakeClient, body: bytes) -> None:
    with tcp_server(always(404, body)) as server:
        error = failure(make_client(f"http://127.0.0.1:{server.port}"))
    assert error.reason == "Firestream has no file for message 2024-01-02 (404)"


def test_a_long_answer_is_shortened_to_one_line(make_client: MakeClient) -> None:
    with tcp_server(always(404, b"not\r\nfound " * 100_000)) as server:
        error = failure(make_client(f"http://127.0.0.1:{server.port}"))
    assert error.reason.startswith("Firestream has no file for message 2024-01-02 (404: not found not found")
    assert len(error.reason) < 300
