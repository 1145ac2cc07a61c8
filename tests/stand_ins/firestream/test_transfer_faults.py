"""The faults of transfers from the stand-in for Firestream."""

import threading
from datetime import date

import pytest
import requests

from local.stand_ins.firestream.faults import Fault
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.stand_ins.firestream.client import DAY, LOGIN, Client, raw, raw_request, records, refusal, to_the_end, up_to


@pytest.mark.parametrize(
    ("after", "got"), [({}, b"01234"), ({"after": 3}, b"012"), ({"after": 0.25}, b"01"), ({"after": 0}, b"")]
)
@pytest.mark.usefixtures("ten")
def test_a_transfer_can_break_off_short_of_the_length_it_declared(
    client: Client, stand_in: FirestreamStandIn, after: dict[str, float], got: bytes
) -> None:
    stand_in.fail(Fault.TRUNCATED, **after)
    assert to_the_end(client.link()) == (10, got, "closed")
    assert client.download() == b"0123456789"


@pytest.mark.usefixtures("ten")
def test_a_fraction_is_one_of_what_the_answer_would_hold(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.TRUNCATED)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="3 bytes read, 3 more expected"):
        client.get(client.link(), Range="bytes=4-")


@pytest.mark.usefixtures("ten")
def test_a_transfer_can_end_early_without_a_sign(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.TRUNCATED_UNDECLARED)
    answer = client.get(client.link())
    assert (answer.status_code, answer.content) == (200, b"01234")
    assert answer.headers["Connection"] == "close"
    assert not {"Content-Length", "Transfer-Encoding"} & set(answer.headers)


@pytest.mark.parametrize(("after", "chunks"), [(0.5, b"5\r\n01234\r\n0\r\n\r\n"), (0, b"0\r\n\r\n")])
@pytest.mark.usefixtures("ten")
def test_a_transfer_can_end_early_in_properly_ended_chunks(
    client: Client, stand_in: FirestreamStandIn, after: float, chunks: bytes
) -> None:
    stand_in.fail(Fault.TRUNCATED_UNDECLARED, chunked=True, after=after)
    link = client.link()
    with raw(link) as connection:
        connection.sendall(raw_request(link))
        head = up_to(connection, b"\r\n\r\n")
        assert (b"Transfer-Encoding: chunked\r\n" in head, b"Content-Length" in head) == (True, False)
        assert up_to(connection, b"0\r\n\r\n") == chunks
        connection.sendall(raw_request(link))
        assert up_to(connection, b"\r\n") == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.usefixtures("ten")
def test_a_transfer_can_be_reset(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.RESET)
    assert to_the_end(client.link()) == (10, b"01234", "reset")


def test_a_reset_comes_after_every_byte_before_it(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.put("message", DAY, bytes(4_000_000))
    stand_in.fail(Fault.RESET, after=3_000_000)
    _, body, ending = to_the_end(client.link())
    assert (len(body), ending) == (3_000_000, "reset")


@pytest.mark.usefixtures("ten")
def test_a_transfer_can_stall(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.STALL)
    link = client.link()
    with raw(link) as connection:
        connection.sendall(raw_request(link))
        up_to(connection, b"\r\n\r\n01234")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)


@pytest.mark.usefixtures("ten")
def test_a_stalled_transfer_goes_on_when_its_time_has_passed(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.STALL, seconds=0.01)
    assert client.download() == b"0123456789"


@pytest.mark.usefixtures("ten")
def test_a_stalled_transfer_ends_with_its_client(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.STALL, seconds=3600)
    link, before = client.link(), set(threading.enumerate())
    with raw(link) as connection:
        connection.sendall(raw_request(link))
        up_to(connection, b"HTTP")
        silent = set(threading.enumerate()) - before
    for thread in silent:
        thread.join(10)
        assert not thread.is_alive()
    assert client.download() == b"0123456789"
    assert stand_in.most_at_once == 1


@pytest.mark.usefixtures("ten")
def test_a_link_can_expire_at_once(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.EXPIRED)
    link = client.link()
    assert refusal(client.get(link)) == (403, "AccessDenied")
    assert refusal(client.get(link)) == (403, "AccessDenied")
    assert client.download() == b"0123456789"


@pytest.mark.usefixtures("ten")
def test_a_link_can_expire_half_way(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.EXPIRED, after=4)
    link = client.link()
    assert to_the_end(link) == (10, b"0123", "closed")
    assert refusal(client.get(link, Range="bytes=4-")) == (403, "AccessDenied")
    assert client.get(client.link(), Range="bytes=4-").content == b"456789"


def test_a_backup_can_change_half_way(client: Client, stand_in: FirestreamStandIn) -> None:
    link = client.link()
    before = client.get(link)
    stand_in.fail(Fault.CHANGED, after=100)
    _, body, ending = to_the_end(link)
    assert (body, ending) == (before.content[:100], "closed")
    assert refusal(client.get(link, Range="bytes=100-", If_Match=before.headers["ETag"])) == (412, "PreconditionFailed")
    after = client.get(client.link())
    assert after.headers["ETag"] != before.headers["ETag"]
    assert len(records(after.content)) == 21
    assert before.content[:100] + after.content[100:] not in (before.content, after.content)
    assert after.content == stand_in.content("message", DAY)


@pytest.mark.usefixtures("ten")
def test_the_host_of_the_links_can_ask_to_slow_down(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.SERVER_ERROR)
    link = client.link()
    assert refusal(client.get(link)) == (503, "SlowDown")
    assert client.get(link).content == b"0123456789"


@pytest.mark.usefixtures("ten")
def test_the_host_of_the_links_can_overlook_a_range(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.NO_RANGE)
    answer = client.get(client.link(), Range="bytes=4-")
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert "Content-Range" not in answer.headers


@pytest.mark.usefixtures("ten")
def test_a_request_without_a_valid_link_uses_no_fault_up(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.SERVER_ERROR)
    link = client.link()
    client.send("HEAD", link)
    client.send("GET", link, auth=LOGIN)
    client.get(link + "0")
    assert client.get(link).status_code == 503


def test_a_fault_of_a_transfer_can_be_planned_for_a_day(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.SERVER_ERROR, file_type="message", day=date(2024, 1, 3))
    asked = ["message/2024/01/02", "activity/2024/01/03", "message/2024/01/03"]
    assert [client.get(client.link(path)).status_code for path in asked] == [200, 200, 503]
