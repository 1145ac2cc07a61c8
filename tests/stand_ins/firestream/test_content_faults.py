"""The faults in the content of backups of the stand-in for Firestream."""

import gzip
from typing import Any

import pytest
import requests

from local.stand_ins.firestream.faults import Fault
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.stand_ins.firestream.client import (
    DAY,
    Client,
    to_the_end,
)


def faulty_download(client: Client) -> requests.Response:
    """Return a download whose declared length must be correct."""
    answer = client.get(client.link())
    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == str(len(answer.content))
    return answer


@pytest.mark.parametrize(("after", "position"), [({}, 0.5), ({"after": 7}, 7), ({"after": 1.0}, -1)])
def test_a_byte_can_be_flipped(
    client: Client, stand_in: FirestreamStandIn, after: dict[str, float], position: float
) -> None:
    stand_in.fail(Fault.FLIPPED_BYTE, **after)
    right, wrong = stand_in.content("message", DAY), faulty_download(client).content
    differing = [index for index, (one, other) in enumerate(zip(right, wrong, strict=True)) if one != other]
    assert differing == [range(len(right))[int(position * len(right)) if position == 0.5 else int(position)]]


def test_garbage_can_trail(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.TRAILING_GARBAGE)
    right, wrong = stand_in.content("message", DAY), faulty_download(client).content
    assert wrong.startswith(right)
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(wrong)


def test_a_backup_can_have_two_members_and_the_same_lines(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.TWO_MEMBERS)
    right, other = stand_in.content("message", DAY), faulty_download(client).content
    assert other.count(b"\x1f\x8b\x08") == right.count(b"\x1f\x8b\x08") + 1
    assert gzip.decompress(other) == gzip.decompress(right)


@pytest.mark.parametrize(
    ("details", "position", "line"),
    [({}, 10, b"This is not a JSON object"), ({"line": "[1]", "after": 0}, 0, b"[1]"), ({"after": 1.0}, 20, b"This")],
)
def test_a_line_can_be_invalid_json(
    client: Client, stand_in: FirestreamStandIn, details: dict[str, Any], position: int, line: bytes
) -> None:
    stand_in.fail(Fault.NOT_JSON, **details)
    right = gzip.decompress(stand_in.content("message", DAY)).splitlines()
    wrong = gzip.decompress(faulty_download(client).content).splitlines()
    assert wrong.pop(position).startswith(line)
    assert wrong == right


def test_a_backup_can_be_empty(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.EMPTY)
    assert faulty_download(client).content == b""


def test_a_backup_can_have_a_content_encoding(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.CONTENT_ENCODING)
    link = client.link()
    with client.session.get(link, stream=True, timeout=10) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.raw.read(decode_content=False) == stand_in.content("message", DAY)


def test_a_backup_can_be_cut_short_in_itself(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.CUT, after=100)
    assert faulty_download(client).content == stand_in.content("message", DAY)[:100]


def test_a_whole_backup_can_come_without_a_length(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.NO_LENGTH)
    answer = client.get(client.link())
    assert answer.content == stand_in.content("message", DAY)
    assert answer.headers["Connection"] == "close"
    assert not {"Content-Length", "Transfer-Encoding"} & set(answer.headers)


def test_a_faulty_content_has_its_own_etag(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.CUT)
    assert faulty_download(client).headers["ETag"] != faulty_download(client).headers["ETag"]


def test_a_link_keeps_its_fault_and_the_next_one_has_none(client: Client, stand_in: FirestreamStandIn) -> None:
    right = stand_in.content("message", DAY)
    stand_in.fail(Fault.CUT, after=100)
    first, second = client.link(), client.link()
    assert client.get(second).content == right
    assert [client.get(first).content for _ in range(2)] == [right[:100]] * 2


def test_a_fault_of_the_content_can_persist(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.EMPTY, times=None, day=DAY)
    assert [client.download() for _ in range(3)] == [b""] * 3
    assert client.download("message/2024/01/03")


def test_a_faulty_content_can_also_have_a_fault_of_its_transfer(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail(Fault.CUT, after=100)
    stand_in.fail(Fault.TRUNCATED, after=10)
    declared, body, _ = to_the_end(client.link())
    assert (declared, len(body)) == (100, 10)
