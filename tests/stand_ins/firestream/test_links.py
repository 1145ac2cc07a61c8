"""The links of the stand-in for Firestream, which behave like S3's."""

import re
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from local.stand_ins.firestream.server import FirestreamStandIn
from tests.stand_ins.firestream.client import DAY, LOGIN, Client, Clock, raw, raw_request, refusal, up_to


def test_an_object_has_the_headers_of_s3(client: Client, stand_in: FirestreamStandIn, clock: Clock) -> None:
    stand_in.put("message", DAY, b"0123456789")
    answer = client.get(client.link())
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    headers = answer.headers
    assert (headers["Content-Type"], headers["Content-Length"]) == ("binary/octet-stream", "10")
    assert headers["Accept-Ranges"] == "bytes"
    assert parsedate_to_datetime(headers["Last-Modified"]).timestamp() == clock.now
    assert not {"Content-Encoding", "Transfer-Encoding", "Content-Range"} & set(headers)


def test_an_etag_is_that_of_an_upload_in_parts_and_changes_with_the_bytes(
    client: Client, stand_in: FirestreamStandIn, tmp_path: Path
) -> None:
    file = tmp_path / "day.gz"
    tags = []
    for content in (b"one", b"two", b"two", b"three"):
        stand_in.put("message", DAY, content)
        tags.append(client.get(client.link()).headers["ETag"])
    for content in (b"one", b"three"):
        file.write_bytes(content)
        stand_in.put("message", DAY, file)
        tags.append(client.get(client.link()).headers["ETag"])
    assert all(re.fullmatch(r'"[0-9a-f]{32}-3"', tag) for tag in tags)
    assert tags[1] == tags[2]
    assert len(set(tags)) == 5


def test_a_link_refuses_a_login(client: Client, stand_in: FirestreamStandIn) -> None:
    answer = client.send("GET", client.link(), auth=LOGIN)
    assert refusal(answer) == (400, "InvalidArgument")
    assert "Only one auth mechanism allowed" in answer.text
    assert not stand_in.served


def test_a_link_is_for_get_only(client: Client) -> None:
    link = client.link()
    answer = client.send("HEAD", link)
    assert (answer.status_code, answer.content) == (403, b"")
    assert refusal(client.send("POST", link)) == (403, "SignatureDoesNotMatch")


def test_a_refused_head_leaves_its_connection_usable(client: Client) -> None:
    link = client.link()
    with raw(link) as connection:
        connection.sendall(raw_request(link, "HEAD"))
        up_to(connection, b"\r\n\r\n")
        connection.sendall(raw_request(link))
        assert up_to(connection, b"\r\n") == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [(r"Signature=\w", "Signature="), (r"&X-Amz-Signature=\w+", ""), ("/message/", "/activity/"), ("_02.gz", "_03.gz")],
)
def test_a_link_that_was_tampered_with_is_refused(client: Client, wrong: str, right: str) -> None:
    assert refusal(client.get(re.sub(wrong, right, client.link()))) == (403, "SignatureDoesNotMatch")


def test_a_link_is_valid_for_the_time_in_the_settings(
    client: Client, stand_in: FirestreamStandIn, clock: Clock
) -> None:
    stand_in.configure(link_seconds=60)
    link = client.link()
    assert parse_qs(link)["X-Amz-Expires"] == ["60"]
    clock.now += 59.9
    assert client.get(link).status_code == 200
    clock.now += 0.1
    answer = client.get(link)
    assert refusal(answer) == (403, "AccessDenied")
    assert "Request has expired" in answer.text


def test_a_link_may_be_used_again(client: Client) -> None:
    link = client.link()
    assert client.get(link).content == client.get(link).content


@pytest.mark.parametrize(
    ("asked", "content_range", "content"),
    [
        ("bytes=0-", "bytes 0-9/10", b"0123456789"),
        ("bytes=4-", "bytes 4-9/10", b"456789"),
        ("bytes=2-4", "bytes 2-4/10", b"234"),
        ("bytes=9-9", "bytes 9-9/10", b"9"),
        ("bytes=8-99", "bytes 8-9/10", b"89"),
    ],
)
def test_a_range_may_be_requested(
    client: Client, stand_in: FirestreamStandIn, asked: str, content_range: str, content: bytes
) -> None:
    stand_in.put("message", DAY, b"0123456789")
    answer = client.get(client.link(), Range=asked)
    assert (answer.status_code, answer.headers["Content-Range"], answer.content) == (206, content_range, content)
    assert answer.headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize("asked", ["bytes=4-2", "bytes=-5", "bytes=0-1,3-4", "lines=0-1", "bytes=x-"])
def test_an_invalid_range_returns_everything(client: Client, stand_in: FirestreamStandIn, asked: str) -> None:
    stand_in.put("message", DAY, b"0123456789")
    answer = client.get(client.link(), Range=asked)
    assert (answer.status_code, answer.content) == (200, b"0123456789")


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=99-100"])
def test_a_range_beyond_the_end_is_refused_with_the_size(
    client: Client, stand_in: FirestreamStandIn, asked: str
) -> None:
    stand_in.put("message", DAY, b"0123456789")
    answer = client.get(client.link(), Range=asked)
    assert refusal(answer) == (416, "InvalidRange")
    assert answer.headers["Content-Range"] == "bytes */10"


def test_a_range_is_returned_only_of_the_expected_object(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.put("message", DAY, b"0123456789")
    link = client.link()
    tag = client.get(link).headers["ETag"]
    assert client.get(link, Range="bytes=4-", If_Match=tag).content == b"456789"
    assert client.get(link, Range="bytes=4-", If_Match="*").content == b"456789"
    stand_in.put("message", DAY, b"9876543210")
    assert refusal(client.get(link, Range="bytes=4-", If_Match=tag)) == (412, "PreconditionFailed")
    assert refusal(client.get(link, Range="bytes=99-", If_Match=tag)) == (412, "PreconditionFailed")


def test_an_empty_object_is_served(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.put("message", DAY, b"")
    answer = client.get(client.link())
    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "0", b"")


def test_connections_are_kept_open(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.put("message", DAY, b"0123456789")
    link = client.link()
    with raw(link) as connection:
        for _ in range(2):
            connection.sendall(raw_request(link))
            assert up_to(connection, b"\r\n\r\n0123456789").startswith(b"HTTP/1.1 200 OK\r\n")
