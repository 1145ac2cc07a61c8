"""What reading does about each odd kind of line: read it as the standard library would, skip it, or report it."""

import gzip
import io
import json
import math
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import boto3
import msgspec
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from relay import archive
from relay.backups import reader
from relay.backups.lines import MAX_LINE_BYTES
from relay.backups.reader import BLOCK_BYTES, BadLine, Message, Symbol, read_backup
from relay.backups.stored_object import MAX_RESUMES
from relay.errors import Corrupt, Reject, StartOver

from local.stand_ins.http_server import Handler, Server

LEAST = b'{"id":7,"body":"up","created_at":"2024-01-02T00:00:00Z","user":{"id":1,"username":"demo"}}'
TOO_DEEP = 100_000
"""Levels of JSON that no Python follows."""


class Only(msgspec.Struct):
    id: int


def packed(text: bytes) -> io.BytesIO:
    return io.BytesIO(gzip.compress(text, 1))


def source(*lines: bytes) -> io.BytesIO:
    return packed(b"".join(line + b"\n" for line in lines))


def least(**fields: Any) -> bytes:
    """The least line that is a message, with these fields besides."""
    return json.dumps(json.loads(LEAST) | fields).encode()


# --- White space, byte order marks and empty lines


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \n", b"\t\r\n"])
@pytest.mark.parametrize("begin", [b"", b" ", b"\t", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("kind", [dict, Only, msgspec.Raw, Any])
def test_what_is_around_a_line_does_not_count(begin: bytes, end: bytes, kind: Any) -> None:
    lines = list(read_backup(packed((begin + b'{"id":1}' + end) * 1000 + end), type=kind))
    assert (
        lines == [{dict: {"id": 1}, Only: Only(1), msgspec.Raw: msgspec.Raw(b'{"id":1}'), Any: {"id": 1}}[kind]] * 1000
    )


@pytest.mark.parametrize("at", [0, 1, 500, 999])
@pytest.mark.parametrize("line", [b'{"id":1} ', b' {"id":1}', b'\xef\xbb\xbf{"id":1}'])
def test_one_line_among_others_may_have_it(line: bytes, at: int) -> None:
    lines = [b'{"id":1}'] * 1000
    lines[at] = line
    assert list(read_backup(source(*lines))) == [{"id": 1}] * 1000


@pytest.mark.parametrize("empty", [b"", b"\r", b" ", b"\t \r"])
def test_empty_lines_are_passed_over_but_have_numbers(empty: bytes) -> None:
    assert list(read_backup(source(empty, b"{}", empty, empty, b"{}", empty))) == [{}, {}]
    with pytest.raises(Reject, match=r"^line 4: "):
        list(read_backup(source(empty, b"{}", empty, b"no")))


# --- What only the standard library reads


@pytest.mark.parametrize(
    "line",
    [
        rb'{"a":"\ud83d"}',
        rb'{"\ud83d":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":NaN}',
        b'{"a":[Infinity,-Infinity]}',
        b'{"a":1e999}',
        b'{"a":123456789012345678901234567890}',
        b'{"a":' + b"9" * 4000 + b"}",
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":[]},"a":{}}',
        b'{"a":"\x7f\xc2\x80"}',
        b'\xef\xbb\xbf {"a":1}',
    ],
)
@pytest.mark.parametrize("kind", [dict, Any, dict[str, Any]])
def test_what_the_standard_library_reads_is_read_to_the_same_value(line: bytes, kind: Any) -> None:
    before, value, after = read_backup(source(b"{}", line, b"{}"), type=kind)
    assert (before, after) == ({}, {})
    assert repr(value) == repr(json.loads(line))  # NaN equals nothing


@pytest.mark.parametrize(
    "odd", [rb'"\ud83d"', b"NaN", b"-Infinity", b"1e999", rb'{"\udc00":NaN}', b"[" * 50 + b"NaN" + b"]" * 50]
)
def test_a_message_is_read_whatever_its_other_fields_hold(odd: bytes) -> None:
    (message,) = read_backup(source(LEAST[:-1] + b',"new":' + odd + b"}"), type=Message)
    assert message.id == 7


def test_a_message_is_read_whatever_its_other_fields_are_called() -> None:
    (message,) = read_backup(source(LEAST[:-1] + rb',"\ud83d":NaN}'), type=Message)
    assert message.id == 7


def test_a_body_with_half_a_character_is_read() -> None:
    (message,) = read_backup(source(LEAST.replace(b'"up"', rb'"\ud83d up"')), type=Message)
    assert message.body == "\ud83d up"


def test_the_last_of_several_values_counts_even_if_the_first_does_not_fit() -> None:
    assert list(read_backup(source(b'{"id":"x","id":2}'), type=Only)) == [Only(2)]
    with pytest.raises(Reject, match="Expected `int`"):
        list(read_backup(source(b'{"id":2,"id":"x"}'), type=Only))


def test_a_number_field_may_be_no_number() -> None:
    class Price(msgspec.Struct):
        price: float

    (line,) = read_backup(source(b'{"price":NaN}'), type=Price)
    assert math.isnan(line.price)


def test_an_optional_field_may_be_null() -> None:
    nulls = least(symbols=None, entities=None, user={"id": 1, "username": "demo", "name": None, "followers": None})
    (message,) = read_backup(source(nulls), type=Message)
    assert (message.symbols, message.entities, message.user.name, message.user.followers) == ([], None, None, None)
    inner = least(symbols=[{"symbol": "SPY", "id": None, "title": None}], entities={"sentiment": {"basic": None}})
    (message,) = read_backup(source(inner), type=Message)
    assert message.symbols == [Symbol("SPY")]


@pytest.mark.parametrize("field", ["id", "body", "created_at", "user"])
def test_a_field_that_every_message_has_may_not(field: str) -> None:
    with pytest.raises(Reject, match=rf"^line 1: Expected `\w+`, got `null` - at `\$.{field}`$"):
        list(read_backup(source(least(**{field: None})), type=Message))


# --- What it does not read either

BAD = [
    b"no",
    b"[1]",
    b'"{}"',
    b"1",
    b"null",
    b"{}{}",
    b"{} {}",
    b'{"a":1},',
    b'{"a":1',
    b'{"a":"\xff"}',
    b'{"a":"\x01"}',
    b'{"a":01}',
    b"{'a':1}",
    b"\x0b{}",
    b"{}\0",
    b'{"a":' * TOO_DEEP + b"1" + b"}" * TOO_DEEP,
]


@pytest.mark.parametrize("line", BAD)
@pytest.mark.parametrize("kind", [dict, Any, dict[str, Any]])
def test_what_it_does_not_read_is_a_bad_line_and_the_others_are_read(line: bytes, kind: Any) -> None:
    bad: list[BadLine] = []
    lines = [b'{"id":1}', line, b"", b'{"id":2}', line]
    assert list(read_backup(source(*lines), type=kind, errors=bad.append)) == [{"id": 1}, {"id": 2}]
    assert [(each.number, each.text) for each in bad] == [(2, line), (5, line)]
    assert all(each.reason for each in bad)


@pytest.mark.parametrize("line", [b"[1]", b"1", b"null", b'"{}"', b"true"])
@pytest.mark.parametrize("kind", [Any, object, msgspec.Raw, dict])
def test_json_that_is_not_an_object_is_a_bad_line_whatever_the_type(line: bytes, kind: Any) -> None:
    with pytest.raises(Reject, match=r"^line 2: it is JSON, but not an object$"):
        list(read_backup(source(b"{}", line), type=kind))


def test_an_object_over_several_lines_is_not_one() -> None:
    bad: list[BadLine] = []
    text = b'{\n"a":{}\n}\n{}{}{}\n{"a":\n{}}\n{}\n'
    assert list(read_backup(packed(text), errors=bad.append)) == [{}]
    assert [each.number for each in bad] == [1, 2, 3, 4, 5, 6]


# --- Good lines come first, and numbers are right


def test_the_lines_before_a_cut_one_are_read_and_the_rest_if_the_caller_says_so() -> None:
    lines = [b'{"id":1}'] * 900 + [b'{"id":1,"body":"u}'] + [b'{"id":1}'] * 100_000
    good: list[Any] = []
    with pytest.raises(Reject, match=r"^line 901: it is not JSON: "):
        good.extend(read_backup(source(*lines)))
    assert len(good) == 900
    assert sum(1 for _ in read_backup(source(*lines), errors="skip")) == 100_900


def test_several_objects_on_a_line_do_not_shift_the_numbers_of_others() -> None:
    lines = [b'{"id":2}{"id":3}'] * 5 + [b'{"id":1}'] * 2000 + [b"no"]
    bad: list[BadLine] = []
    assert len(list(read_backup(source(*lines), errors=bad.append))) == 2000
    assert [each.number for each in bad] == [1, 2, 3, 4, 5, 2006]


@pytest.mark.parametrize("at", [1, 2, 70_000, 70_001])
def test_a_bad_line_is_numbered_from_the_files_beginning_whatever_block_it_is_in(at: int) -> None:
    lines = [b'{"id":1}'] * 70_001
    lines[at - 1] = b"no"
    with pytest.raises(Reject, match=rf"^line {at}: "):
        list(read_backup(source(*lines)))


def test_a_function_hears_of_a_bad_line_after_the_line_before_it_was_read_and_before_the_next() -> None:
    heard: list[Any] = []
    heard.extend(read_backup(source(b'{"id":1}', b"no", b"no", b'{"id":2}', b"no"), type=Only, errors=heard.append))
    assert [each.id if isinstance(each, Only) else each.number for each in heard] == [1, 2, 3, 2, 5]


def test_what_the_function_raises_ends_the_reading() -> None:
    def stop(bad: BadLine) -> None:
        raise LookupError(bad.number)

    with pytest.raises(LookupError, match=r"^2$"):
        list(read_backup(source(b"{}", b"no", b"{}"), errors=stop))


def test_a_line_of_another_kind_goes_the_same_way() -> None:
    lines = [LEAST, b'{"action":"follow","time":"now"}', least(entities={"sentiment": "Bullish"}), LEAST]
    bad: list[BadLine] = []
    assert len(list(read_backup(source(*lines), type=Message, errors=bad.append))) == 2
    assert [(each.number, each.reason) for each in bad] == [
        (2, "Object missing required field `id`"),
        (3, "Expected `object | null`, got `str` - at `$.entities.sentiment`"),
    ]
    assert len(list(read_backup(source(*lines), type=Message, errors="skip"))) == 2
    with pytest.raises(Reject, match=r"^line 2: Object missing required field `id`$"):
        list(read_backup(source(*lines), type=Message))


@pytest.mark.parametrize("errors", ["ignore", "", None, 1])
def test_any_other_rule_for_bad_lines_is_refused_at_once(errors: Any) -> None:
    with pytest.raises(ValueError, match='errors is "raise", "skip" or a function, not '):
        read_backup(source(b"{}"), errors=errors)


def test_a_bad_line_is_in_relay_archive() -> None:
    assert archive.BadLine is BadLine


# --- Long lines


def test_a_bad_line_longer_than_a_block_is_one_line() -> None:
    bad: list[BadLine] = []
    long = b"{" + b"x" * (3 * BLOCK_BYTES) + b"}"
    assert list(read_backup(source(b"{}", long, b"{}"), errors=bad.append)) == [{}, {}]
    assert [(each.number, each.text) for each in bad] == [(2, long)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_the_white_space_around_a_line_may_be_longer_than_a_block(end: bytes) -> None:
    space = b" " * (2 * BLOCK_BYTES + 5)
    assert list(read_backup(packed(space + b"{}" + space + b"\n" + space + b'\n{"a":1}' + space + end))) == [
        {},
        {"a": 1},
    ]


def test_a_line_of_64_mebibytes_is_read_and_a_longer_one_is_a_bad_line() -> None:
    longest = b'{"a":"' + b"x" * (MAX_LINE_BYTES - 8) + b'"}'
    assert len(longest) == MAX_LINE_BYTES
    (line,) = read_backup(source(longest))
    assert len(line["a"]) == MAX_LINE_BYTES - 8
    bad: list[BadLine] = []
    longer = longest[:-2] + b'x"}'
    assert list(read_backup(source(b"{}", longer, b"{}"), errors=bad.append)) == [{}, {}]
    assert [(each.number, each.reason) for each in bad] == [(2, "it is longer than 67108864 bytes")]
    assert longer.startswith(bad[0].text)


def test_a_line_that_is_too_long_takes_no_more_memory_however_long_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_LINE_BYTES", 8 * BLOCK_BYTES)

    def peak(size: int) -> int:
        content = packed(b"{" + b"x" * size + b"}\n{}")
        tracemalloc.start()
        try:
            assert list(read_backup(content, errors="skip")) == [{}]
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(400 * BLOCK_BYTES) < 1.1 * peak(40 * BLOCK_BYTES)


# --- A transfer from S3 that breaks


class Bucket:
    """An S3 with one object, whose connections break."""

    def __init__(self) -> None:
        self.content = gzip.compress(b"".join(b'{"id":%d}\n' % (number * 7919) for number in range(20_000)), 1)
        self.etag = '"1"'
        self.breaks_after: list[int] = []
        self.asked: list[tuple[str | None, str | None]] = []
        self.lock = threading.Lock()


class BreakingHandler(Handler):
    def serve(self) -> None:
        bucket: Bucket = self.server.stand_in
        asked = self.headers.get("Range"), self.headers.get("If-Match")
        bucket.asked.append(asked)
        if asked[1] not in {None, bucket.etag}:
            self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>", {"Content-Type": "application/xml"})
            return
        start = int(asked[0].removeprefix("bytes=").removesuffix("-")) if asked[0] else 0
        body = bucket.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("ETag", bucket.etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if bucket.breaks_after:
            body = body[: bucket.breaks_after.pop(0)]
            self.close_connection = True
        self.wfile.write(body)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    served = Bucket()
    server = Server(0, BreakingHandler, served)
    server.start()
    served.s3 = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
    )
    yield served
    server.stop()


def ids(bucket: Bucket) -> list[int]:
    return [line["id"] for line in read_backup("s3://archive/a.gz", s3=bucket.s3)]


def test_a_transfer_that_breaks_goes_on_where_it_broke_if_the_object_is_the_same(bucket: Bucket) -> None:
    bucket.breaks_after = [1000, 20_000]
    assert ids(bucket) == [number * 7919 for number in range(20_000)]
    assert bucket.asked == [(None, None), ("bytes=1000-", '"1"'), ("bytes=21000-", '"1"')]


def test_it_breaks_as_often_as_it_likes_while_it_gets_on(bucket: Bucket) -> None:
    bucket.breaks_after = [3000] * (3 * MAX_RESUMES)
    assert len(ids(bucket)) == 20_000
    assert len(bucket.asked) == 3 * MAX_RESUMES + 1


def test_a_transfer_that_never_gets_on_is_an_error_of_the_client(bucket: Bucket) -> None:
    bucket.breaks_after = [1000] + [0] * (MAX_RESUMES + 1)
    with pytest.raises(BotoCoreError):
        ids(bucket)
    assert len(bucket.asked) == 1 + MAX_RESUMES


def test_an_object_that_is_replaced_meanwhile_is_not_mixed_with_the_new_one(bucket: Bucket) -> None:
    bucket.breaks_after = [30_000]
    lines = read_backup("s3://archive/a.gz", s3=bucket.s3)
    next(lines)
    bucket.etag = '"2"'
    with pytest.raises(StartOver, match="it was replaced by another version while it was read; read it again"):
        list(lines)


def test_an_object_that_is_deleted_meanwhile_is_an_error_of_s3(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        BreakingHandler,
        "serve",
        lambda self: self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>", {"Content-Type": "application/xml"}),
    )
    with pytest.raises(ClientError, match="NoSuchKey"):
        ids(bucket)


def test_a_stored_file_that_ends_early_is_damaged_and_not_resumed(bucket: Bucket) -> None:
    bucket.content = bucket.content[:-9]
    with pytest.raises(Corrupt, match="ends early"):
        ids(bucket)
    assert len(bucket.asked) == 1
