"""A download that breaks continues where it stopped, or starts over if the file may have changed."""

import threading

import pytest
from relay.backups.firestream import HOLD_SECONDS, MAX_FAILURES, Firestream
from relay.errors import Retry, StartOver, Wait

from local.stand_ins.firestream.faults import Fault
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.servers import tcp_server
from tests.worlds.clock import Clock
from tests.worlds.firestream import (
    CONTENT,
    DAY,
    MESSAGES,
    MOST,
    SIZE,
    MakeClient,
    StoredLogin,
    both_hosts,
    download_all,
    failure,
    plenty,
    ranges,
    read_all,
    requests_to,
    response,
)

ETAG = '"0123-3"'


# A transfer that breaks continues where it stopped


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.TRUNCATED, Fault.TRUNCATED_UNDECLARED])
@pytest.mark.parametrize("after", [1, 10, 0.5, SIZE - 1])
def test_a_broken_transfer_continues_where_it_stopped(
    client: Firestream, stand_in: FirestreamStandIn, fault: Fault, after: float
) -> None:
    stand_in.fail(fault, after=after)
    position = int(after * SIZE) if isinstance(after, float) else after
    with client.open(MESSAGES, plenty) as download:
        assert read_all(download) == CONTENT
        assert (download.resumes, download.size) == (1, SIZE)
    assert ranges(stand_in) == [None, f"bytes={position}-"]
    assert requests_to(stand_in, "link")[1].headers["If-Match"] == download.etag
    assert stand_in.served["message", DAY] == SIZE  # no byte was sent twice


def test_every_resume_uses_a_new_link(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.RESET, times=3)
    download_all(client)
    signatures = [each.query["X-Amz-Signature"] for each in requests_to(stand_in, "link")]
    assert len(set(signatures)) == stand_in.redirects == 4


def test_a_transfer_may_break_any_number_of_times_as_long_as_bytes_come(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    times = 3 * MAX_FAILURES
    stand_in.fail(Fault.RESET, times=times, after=100)
    with client.open(MESSAGES, plenty) as download:
        assert read_all(download) == CONTENT
        assert download.resumes == times
    assert stand_in.served["message", DAY] == SIZE


def test_a_transfer_that_breaks_before_its_first_byte_starts_over(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    stand_in.fail(Fault.RESET, times=3, after=0)
    assert download_all(client) == CONTENT
    assert ranges(stand_in) == [None] * 4


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.TRUNCATED, Fault.TRUNCATED_UNDECLARED])
def test_a_transfer_without_a_single_byte_is_given_up(
    client: Firestream, stand_in: FirestreamStandIn, fault: Fault
) -> None:
    stand_in.fail(fault, times=None, after=0)
    error = failure(client)
    assert type(error) is Retry
    assert "at byte 0" in error.reason
    assert len(requests_to(stand_in, "link")) == MAX_FAILURES + 1


def test_a_transfer_without_a_further_byte_is_given_up(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.RESET, after=5)
    stand_in.fail(Fault.RESET, times=None, after=0)
    error = failure(client)
    assert type(error) is Retry
    assert error.reason.startswith(f"message 2024-01-02 failed {MAX_FAILURES + 1} times at byte 5: ")
    assert ranges(stand_in) == [None, *["bytes=5-"] * MAX_FAILURES]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits of clients, which take no time."""
    waits: list[float] = []
    really_wait = threading.Event.wait

    def wait(event: threading.Event, timeout: float | None = None) -> bool:
        if timeout is None:  # not a wait of the client
            return really_wait(event)
        waits.append(timeout)
        return False

    monkeypatch.setattr(threading.Event, "wait", wait)
    return waits


def test_a_short_wait_that_is_asked_for_is_taken_at_once(
    waits: list[float], make_client: MakeClient, clock: Clock
) -> None:
    busy = response("503 So", f"Retry-After: {HOLD_SECONDS:.0f}")
    with tcp_server(both_hosts(busy, response("200 OK", "Content-Length: 2", body=b"ok"))) as server:
        assert download_all(make_client(f"http://127.0.0.1:{server.port}")) == b"ok"
    assert waits == [HOLD_SECONDS]


def test_who_asks_to_wait_again_and_again_is_asked_later(waits: list[float], make_client: MakeClient) -> None:
    with tcp_server(both_hosts(response("503 So", "Retry-After: 2"))) as server:
        assert type(failure(make_client(f"http://127.0.0.1:{server.port}"))) is Wait
    assert waits == [2] * MAX_FAILURES


def test_the_waits_between_failures_double(stand_in: FirestreamStandIn, clock: Clock, waits: list[float]) -> None:
    stand_in.fail(Fault.ERROR, times=None)
    client = Firestream(stand_in.url, StoredLogin(), clock)
    assert type(failure(client)) is Retry
    client.close()
    assert waits == [0.25, 0.5, 1, 2, 4, 8]


def test_each_received_byte_resets_the_count_of_failures(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.RESET, times=3, after=50)
    with client.open(MESSAGES, plenty) as download:
        got = b""
        for end in (50, 100, 150):
            while len(got) < end:
                got += download.read(end - len(got))
            stand_in.fail(Fault.ERROR, times=MAX_FAILURES - 1)
        assert got + read_all(download) == CONTENT


@pytest.mark.parametrize("after", [0.5, 10])
def test_a_link_that_expires_half_way_is_replaced(
    client: Firestream, stand_in: FirestreamStandIn, after: float
) -> None:
    stand_in.fail(Fault.EXPIRED, after=after)
    assert download_all(client) == CONTENT
    assert stand_in.redirects == 2
    assert stand_in.served["message", DAY] == SIZE


def test_a_link_that_expires_before_it_is_used_is_replaced_too(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.EXPIRED)
    assert download_all(client) == CONTENT
    assert stand_in.redirects == 2


def test_a_link_that_expires_while_the_transfer_runs_does_not_end_it(
    client: Firestream, stand_in: FirestreamStandIn, clock: Clock
) -> None:
    stand_in.fail(Fault.TRUNCATED)
    with client.open(MESSAGES, plenty) as download:
        first = download.read(10)
        clock.forward(stand_in.link_seconds)
        assert first + read_all(download) == CONTENT


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.UNAVAILABLE, Fault.SERVER_ERROR])
def test_a_few_errors_are_retried(client: Firestream, stand_in: FirestreamStandIn, fault: Fault) -> None:
    stand_in.fail(fault, times=MAX_FAILURES)
    assert download_all(client) == CONTENT


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.UNAVAILABLE, Fault.SERVER_ERROR])
def test_errors_in_the_middle_are_retried(client: Firestream, stand_in: FirestreamStandIn, fault: Fault) -> None:
    stand_in.fail(Fault.RESET)
    with client.open(MESSAGES, plenty) as download:
        first = download.read(10)
        stand_in.fail(fault, times=MAX_FAILURES - 1)
        assert first + read_all(download) == CONTENT
    assert stand_in.served["message", DAY] == SIZE


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.ERROR, "Firestream answered 500: Something went wrong"),
        (Fault.UNAVAILABLE, "Firestream answered 503: The service is not available"),
        (Fault.SERVER_ERROR, "the link's host answered 503 SlowDown"),
        (Fault.EXPIRED, "the link's host answered 403 AccessDenied"),
    ],
)
def test_persistent_errors_are_given_up_with_the_last_answer(
    client: Firestream, stand_in: FirestreamStandIn, fault: Fault, expected: str
) -> None:
    stand_in.fail(fault, times=None)
    error = failure(client)
    assert type(error) is Retry
    assert error.reason == f"message 2024-01-02 failed {MAX_FAILURES + 1} times at byte 0: {expected}"
    assert len(requests_to(stand_in, "api")) == MAX_FAILURES + 1


def test_a_file_that_is_missing_for_a_moment_in_the_middle_is_requested_again(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    stand_in.fail(Fault.RESET)
    with client.open(MESSAGES, plenty) as download:
        first = download.read(10)
        stand_in.fail(Fault.NOT_FOUND)
        assert first + read_all(download) == CONTENT


def test_a_read_timeout_counts_as_a_break(stand_in: FirestreamStandIn, impatient_client: Firestream) -> None:
    stand_in.fail(Fault.STALL, after=1000)
    with impatient_client.open(MESSAGES, plenty) as download:
        assert read_all(download) == CONTENT
        assert download.resumes == 1
    assert stand_in.served["message", DAY] == SIZE


def test_persistent_read_timeouts_are_given_up(stand_in: FirestreamStandIn, impatient_client: Firestream) -> None:
    stand_in.fail(Fault.STALL, times=None, after=0)
    error = failure(impatient_client)
    assert type(error) is Retry
    assert "the transfer broke (TimeoutError)" in error.reason


def test_a_server_that_is_down_is_tried_a_few_times(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.stop()
    error = failure(client)
    assert type(error) is Retry
    assert error.reason.endswith("Firestream could not be reached, or did not answer (ConnectionRefusedError)")


def test_a_download_continues_after_the_server_was_restarted(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.STALL, after=1000)
    with client.open(MESSAGES, plenty) as download:
        got = b""
        while len(got) < 1000:
            got += download.read(MOST)
        stand_in.stop()
        back = threading.Thread(target=stand_in.start)
        back.start()
        assert got + read_all(download) == CONTENT
        back.join()
    assert ranges(stand_in)[-1] == "bytes=1000-"


# A file without a length


def test_without_a_length_the_end_is_confirmed(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.NO_LENGTH, times=None)
    with client.open(MESSAGES, plenty) as download:
        assert download.size is None
        assert read_all(download) == CONTENT
        assert download.size == SIZE
        assert download.resumes == 0
        assert read_all(download) == b""
    assert ranges(stand_in) == [None, f"bytes={SIZE}-"]
    assert stand_in.served["message", DAY] == SIZE


@pytest.mark.parametrize("chunked", [False, True])
def test_a_transfer_that_ends_early_without_a_length_is_detected_and_continued(
    client: Firestream, stand_in: FirestreamStandIn, *, chunked: bool
) -> None:
    stand_in.fail(Fault.TRUNCATED_UNDECLARED, after=1000, chunked=chunked)
    with client.open(MESSAGES, plenty) as download:
        assert read_all(download) == CONTENT
        assert (download.size, download.resumes) == (SIZE, 1)
    assert ranges(stand_in) == [None, "bytes=1000-"]
    assert stand_in.served["message", DAY] == SIZE


def test_without_a_length_a_transfer_may_break_several_times(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.NO_LENGTH, times=None)
    stand_in.fail(Fault.TRUNCATED_UNDECLARED, times=3, after=1000)
    assert download_all(client) == CONTENT
    assert ranges(stand_in) == [None, "bytes=1000-", "bytes=2000-", "bytes=3000-"]


def test_a_confirmation_that_fails_is_retried(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.NO_LENGTH, times=None)
    with client.open(MESSAGES, plenty) as download:
        first = download.read(10)
        stand_in.fail(Fault.ERROR, times=2)
        assert first + read_all(download) == CONTENT


# A file that changes


def test_a_file_that_changes_half_way_makes_the_caller_start_over(
    client: Firestream, stand_in: FirestreamStandIn
) -> None:
    stand_in.fail(Fault.CHANGED)
    error = failure(client)
    assert type(error) is StartOver
    assert error.reason == f"message 2024-01-02 broke at byte {SIZE // 2}, and has changed since (412)"
    assert download_all(client) == stand_in.content("message", DAY) != CONTENT


def test_a_server_without_ranges_makes_the_caller_start_over(client: Firestream, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.RESET)
    stand_in.fail(Fault.NO_RANGE)
    with client.open(MESSAGES, plenty) as download, pytest.raises(StartOver, match=r"\(200\)"):
        read_all(download)


NO_STRONG_ETAG = [[], ['ETag: W/"0123"'], ["ETag: "]]
DATE = "Last-Modified: Wed, 03 Jan 2024 04:05:06 GMT"


@pytest.mark.parametrize("etag", NO_STRONG_ETAG)
@pytest.mark.parametrize("known", [["Content-Length: 9"], [DATE]])
def test_without_a_strong_etag_or_a_date_and_a_size_the_caller_starts_over(
    make_client: MakeClient, etag: list[str], known: list[str]
) -> None:
    with tcp_server(both_hosts(response("200 OK", *known, *etag, body=b"half"))) as server:
        error = failure(make_client(f"http://127.0.0.1:{server.port}"))
    assert type(error) is StartOver
    assert error.reason.startswith("message 2024-01-02 broke at byte 4, and cannot be resumed because it has neither")


@pytest.mark.parametrize("etag", NO_STRONG_ETAG)
@pytest.mark.parametrize("date", [[DATE], []])
def test_without_a_strong_etag_the_date_and_the_size_are_the_condition(
    make_client: MakeClient, etag: list[str], date: list[str]
) -> None:
    half = response("200 OK", "Content-Length: 9", DATE, *etag, body=b"half")
    rest = response("206 Partial", "Content-Range: bytes 4-8/9", *date, body=b"-done")
    with tcp_server(both_hosts(half, rest)) as server:
        assert download_all(make_client(f"http://127.0.0.1:{server.port}")) == b"half-done"
    assert b"If-Unmodified-Since: Wed, 03 Jan 2024 04:05:06 GMT\r\n" in server.received
    assert b"If-Match" not in server.received


def test_the_rest_of_a_file_with_another_date_is_not_taken(make_client: MakeClient) -> None:
    half = response("200 OK", "Content-Length: 9", DATE, body=b"half")
    rest = response("206 Partial", "Content-Range: bytes 4-8/9", DATE.replace("03", "04"), body=b"-done")
    with tcp_server(both_hosts(half, rest)) as server:
        assert type(failure(make_client(f"http://127.0.0.1:{server.port}"))) is StartOver


@pytest.mark.parametrize(
    "answer",
    [
        response("206 Partial", "Content-Range: bytes 4-9/10", body=b"-other"),  # another size
        response("206 Partial", "Content-Range: bytes 0-8/9", body=b"half-done"),  # another start
        response("206 Partial", "Content-Range: bytes 4-8/*", body=b"-done"),
        response("206 Partial", body=b"-done"),
        response("200 OK", "Content-Range: bytes 4-8/9", body=b"-done"),
        response("200 OK", "Content-Length: 9", body=b"half-done"),
        response("412 Precondition Failed"),
        response("416 Range Not Satisfiable", "Content-Range: bytes */4"),  # shorter now
        response("416 Range Not Satisfiable", "Content-Range: bytes */9"),  # and yet not satisfiable
        response("416 Range Not Satisfiable"),
    ],
)
def test_an_answer_that_is_not_the_rest_of_the_same_file_makes_the_caller_start_over(
    make_client: MakeClient, answer: bytes
) -> None:
    half = response("200 OK", "Content-Length: 9", f"ETag: {ETAG}", body=b"half")
    with tcp_server(both_hosts(half, answer)) as server:
        error = failure(make_client(f"http://127.0.0.1:{server.port}"))
    assert type(error) is StartOver
    assert "broke at byte 4, and has changed since" in error.reason


@pytest.mark.parametrize(
    "answer",
    [
        response("416 Range Not Satisfiable", "Content-Range: bytes */5"),
        response("416 Range Not Satisfiable"),
        response("200 OK", body=b"half-done"),
        response("206 Partial", "Content-Range: bytes 4-8/*", body=b"-done"),
    ],
)
def test_without_a_length_the_end_must_be_confirmed_by_the_exact_size(make_client: MakeClient, answer: bytes) -> None:
    half = response("200 OK", f"ETag: {ETAG}", body=b"half")
    with tcp_server(both_hosts(half, answer)) as server:
        assert type(failure(make_client(f"http://127.0.0.1:{server.port}"))) is StartOver


def test_an_empty_file_without_a_length_is_given_up(make_client: MakeClient) -> None:
    with tcp_server(both_hosts(response("200 OK"))) as server:
        error = failure(make_client(f"http://127.0.0.1:{server.port}"))
    assert type(error) is Retry
    assert "failed 7 times at byte 0: the transfer ended after 0 bytes" in error.reason
    assert server.received.count(b"GET /link") == MAX_FAILURES + 1
