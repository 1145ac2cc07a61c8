"""Contents of every odd kind from the stand-in for Firestream, as the standard library sees them."""

import bz2
import gzip
import io
import json
import zipfile
import zlib
from typing import Any

import pytest

from local.stand_ins.firestream.content import BAD_LINES, PAGE
from local.stand_ins.firestream.contrary import BEHAVIOURS, Contrary, Kind
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.stand_ins.firestream.client import DAY, Client

MARK = b"\xef\xbb\xbf"
MEBIBYTE = 1 << 20
ODD_VALUES = BEHAVIOURS[Contrary.ODD_VALUES].forms


def lines(content: bytes) -> list[bytes]:
    """Return the lines with their ends, as `gzip.open` has them."""
    with gzip.open(io.BytesIO(content)) as file:
        return file.readlines()


def right_lines(stand_in: FirestreamStandIn) -> list[bytes]:
    return lines(stand_in.content("message", DAY))


def odd_lines(client: Client, stand_in: FirestreamStandIn, fault: str, **details: Any) -> list[bytes]:
    stand_in.fail(fault, **details)
    return lines(client.download())


def test_lines_can_end_in_cr_lf(client: Client, stand_in: FirestreamStandIn) -> None:
    right = right_lines(stand_in)
    assert odd_lines(client, stand_in, "crlf") == [line[:-1] + b"\r\n" for line in right]
    some = odd_lines(client, stand_in, "crlf", places=[0, 0.5])
    assert [number for number, line in enumerate(some) if line.endswith(b"\r\n")] == [0, 10]


@pytest.mark.parametrize(
    ("form", "before", "after"),
    [("after", b"", b" "), ("before", b" ", b""), ("both", b"  ", b"  "), ("tabs", b"\t", b" \t")],
)
def test_there_can_be_white_space_around_lines(
    client: Client, stand_in: FirestreamStandIn, form: str, before: bytes, after: bytes
) -> None:
    right = right_lines(stand_in)
    odd = odd_lines(client, stand_in, "spaces", form=form)
    assert odd == [before + line[:-1] + after + b"\n" for line in right]


def test_one_line_alone_can_have_a_space(client: Client, stand_in: FirestreamStandIn) -> None:
    odd = odd_lines(client, stand_in, "spaces", places=[7])
    assert [number for number, line in enumerate(odd) if line.endswith(b" \n")] == [7]


def test_there_can_be_a_byte_order_mark(client: Client, stand_in: FirestreamStandIn) -> None:
    marked = {
        form: [
            number
            for number, line in enumerate(odd_lines(client, stand_in, "byte-order-mark", form=form))
            if MARK in line
        ]
        for form in ("first", "middle", "each-line")
    }
    assert marked == {"first": [0], "middle": [10], "each-line": list(range(20))}
    assert odd_lines(client, stand_in, "byte-order-mark", form="only") == [MARK]


@pytest.mark.parametrize(
    ("details", "empty"),
    [({"form": "first"}, [0]), ({"count": 2}, [10, 11]), ({"form": "last"}, [20]), ({"form": "white"}, [10])],
)
def test_there_can_be_empty_lines(
    client: Client, stand_in: FirestreamStandIn, details: dict[str, Any], empty: list[int]
) -> None:
    odd = odd_lines(client, stand_in, "empty-lines", **details)
    assert [number for number, line in enumerate(odd) if not line.strip()] == empty
    assert [line for line in odd if line.strip()] == right_lines(stand_in)


def test_there_can_be_nothing_but_empty_lines(client: Client, stand_in: FirestreamStandIn) -> None:
    assert odd_lines(client, stand_in, "empty-lines", form="only", count=3) == [b"\n"] * 3


def test_the_last_line_can_lack_its_line_feed(client: Client, stand_in: FirestreamStandIn) -> None:
    assert b"".join(odd_lines(client, stand_in, "no-last-line-feed")) + b"\n" == b"".join(right_lines(stand_in))


@pytest.mark.parametrize("form", BAD_LINES)
def test_a_line_can_be_bad_in_every_way(client: Client, stand_in: FirestreamStandIn, form: str) -> None:
    odd = odd_lines(client, stand_in, "bad-lines", form=form)
    bad = odd.pop(10)
    assert odd == right_lines(stand_in)
    try:
        read = json.loads(bad)
    except ValueError:
        return
    assert not isinstance(read, dict)


@pytest.mark.parametrize("form", ["cut", "two-objects", "braces", "not-utf-8"])
def test_some_bad_lines_look_like_objects_by_their_braces(form: str) -> None:
    assert (BAD_LINES[form][:1], BAD_LINES[form][-1:]) == (b"{", b"}")


def test_bad_lines_can_be_at_several_places(client: Client, stand_in: FirestreamStandIn) -> None:
    odd = odd_lines(client, stand_in, "bad-lines", line="{", count=2, places=[0, 5, 1.0])
    assert [number for number, line in enumerate(odd) if line == b"{\n"] == [0, 1, 7, 8, 24, 25]
    assert [line for line in odd if line != b"{\n"] == right_lines(stand_in)


@pytest.mark.parametrize("form", ODD_VALUES)
def test_an_object_can_have_odd_values_that_the_standard_library_reads(
    client: Client, stand_in: FirestreamStandIn, form: str
) -> None:
    right = right_lines(stand_in)
    odd = odd_lines(client, stand_in, "odd-values", form=form)
    assert [number for number in range(20) if odd[number] != right[number]] == [10]
    assert isinstance(json.loads(odd[10]), dict)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("duplicate-keys", b'"body":"first"'),
        ("lone-surrogate", b"\\ud83d"),
        ("nan", b"NaN"),
        ("escapes", b"\\u001b]0;owned\\u0007"),
        ("shape", b'"sentiment":"Bullish"'),
        ("nulls", b'"body":null'),
        ("another-kind", b'"object":"LikeMessage"'),
    ],
)
def test_odd_values_are_written_as_they_were_reported(
    client: Client, stand_in: FirestreamStandIn, form: str, text: bytes
) -> None:
    assert text in odd_lines(client, stand_in, "odd-values", form=form)[10]


def test_a_file_of_activities_can_have_a_message(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("odd-values", form="another-kind", places=None)
    assert all(b'"body":"hello"' in line for line in lines(client.download("activity/2024/01/02")))


@pytest.mark.parametrize("form", BEHAVIOURS[Contrary.LONG_LINE].forms)
@pytest.mark.parametrize("size", [MEBIBYTE, 3 * MEBIBYTE + 1])
def test_a_line_can_be_as_long_as_it_is_planned(
    client: Client, stand_in: FirestreamStandIn, form: str, size: int
) -> None:
    odd = odd_lines(client, stand_in, "long-line", form=form, bytes=size)
    long = odd.pop(10)
    assert odd == right_lines(stand_in)
    assert (len(long), long[-1:]) == (size + 1, b"\n")
    if form in {"text", "list"}:
        assert json.loads(long)["id"] == 1
    else:
        assert (long.strip() == b"") == (form == "spaces")


def test_a_line_longer_than_64_mebibytes_is_small_on_the_wire(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("long-line", bytes=64 * MEBIBYTE + 1)
    content = client.download()
    assert len(content) < MEBIBYTE
    with gzip.open(io.BytesIO(content)) as file:
        assert max(map(len, file)) == 64 * MEBIBYTE + 2


@pytest.mark.parametrize(
    ("form", "members"), [("lines", 3), ("within", 3), ("empty", 7), ("each-line", 20), ("padded", 1), ("named", 1)]
)
def test_a_file_can_have_several_members_and_the_same_lines(
    client: Client, stand_in: FirestreamStandIn, form: str, members: int
) -> None:
    stand_in.fail("members", form=form)
    rest, count = client.download(), 0
    assert lines(rest) == right_lines(stand_in)
    while rest.strip(b"\0"):
        decoder = zlib.decompressobj(zlib.MAX_WBITS | 16)
        part = decoder.decompress(rest)
        rest, count = decoder.unused_data, count + 1
        assert form != "within" or rest == b"" or not part.endswith(b"\n")
    assert count == members


def test_another_format_can_come_in_place_of_gzip(client: Client, stand_in: FirestreamStandIn) -> None:
    content = stand_in.content("message", DAY)
    got = {}
    for form in BEHAVIOURS[Contrary.OTHER_FORMAT].forms:
        stand_in.fail("other-format", form=form)
        got[form] = client.download()
    text = gzip.decompress(content)
    assert gzip.decompress(got["gzip-twice"]) == content
    assert got["page"] == gzip.decompress(got["page-in-gzip"]) == PAGE
    assert b"<Error>" in got["xml"]
    unpacked = [got["plain"], zlib.decompress(got["zlib"]), bz2.decompress(got["bzip2"])]
    assert unpacked == [text] * 3
    assert zipfile.ZipFile(io.BytesIO(got["zip"])).read("day.json") == text


@pytest.mark.parametrize("form", BEHAVIOURS[Contrary.DAMAGED].forms)
def test_a_file_can_be_damaged_in_every_way(client: Client, stand_in: FirestreamStandIn, form: str) -> None:
    stand_in.fail("damaged", form=form)
    with pytest.raises((EOFError, gzip.BadGzipFile)):
        lines(client.download())


@pytest.mark.parametrize(
    ("form", "reason"), [("crc", "CRC check failed"), ("length", "Incorrect length of data produced")]
)
def test_a_checksum_or_a_length_can_be_wrong(
    client: Client, stand_in: FirestreamStandIn, form: str, reason: str
) -> None:
    stand_in.fail("damaged", form=form)
    with pytest.raises(gzip.BadGzipFile, match=reason):
        lines(client.download())


def test_an_odd_content_that_is_planned_for_ever_keeps_its_etag(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.fail("crlf", times=None, day=DAY)
    first, second = client.get(client.link()), client.get(client.link())
    assert first.content == second.content
    offered = stand_in.offered("message", DAY)
    assert offered
    assert first.headers["ETag"] == second.headers["ETag"] == offered.etag
    assert offered.read() == first.content != stand_in.content("message", DAY)


@pytest.mark.parametrize("fault", [Contrary.CRLF, Contrary.MEMBERS, Contrary.FEW_LINES])
def test_what_is_damaged_already_stays_as_it_is(client: Client, stand_in: FirestreamStandIn, fault: Contrary) -> None:
    damaged = gzip.compress(b'{"id":1}\n')[:-1]
    stand_in.put("message", DAY, damaged)
    stand_in.fail(fault)
    assert client.download() == damaged


def test_a_line_that_is_not_an_object_gets_no_odd_values(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.put("message", DAY, gzip.compress(b"\n[1]\nwords\n"))
    assert odd_lines(client, stand_in, "odd-values", places=None) == [b"\n", b"[1]\n", b"words\n"]


def test_what_is_not_gzip_is_altered_as_it_is(client: Client, stand_in: FirestreamStandIn) -> None:
    stand_in.put("message", DAY, b'{"id":1}\n')
    assert odd_lines(client, stand_in, "crlf") == [b'{"id":1}\r\n']


@pytest.mark.parametrize(
    ("fault", "details"),
    [
        (fault, draw)
        for fault, behaviour in BEHAVIOURS.items()
        for draw in behaviour.draws
        if behaviour.kind is Kind.CONTENT
    ],
)
@pytest.mark.parametrize("text", [b"", b'{"id":1}'], ids=["none", "one"])
def test_every_odd_content_can_be_made_of_a_file_of_a_line_or_none(
    client: Client, stand_in: FirestreamStandIn, text: bytes, fault: str, details: dict[str, Any]
) -> None:
    stand_in.put("message", DAY, gzip.compress(text))
    stand_in.fail(fault, **details)
    assert client.get(client.link()).status_code == 200


@pytest.mark.parametrize("form", BEHAVIOURS[Contrary.DAMAGED].forms)
def test_a_file_without_bytes_can_be_planned_to_be_damaged(
    client: Client, stand_in: FirestreamStandIn, form: str
) -> None:
    stand_in.put("message", DAY, b"")
    stand_in.fail("damaged", form=form)
    assert client.download() == b""
