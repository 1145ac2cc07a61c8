"""Reading a backup line by line: from a path, a file or S3, into any type, and every bad line is named."""

import gzip
import io
import json
import tracemalloc
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import boto3
import msgspec
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from relay import archive
from relay.backups.reader import BLOCK_BYTES, Entities, Message, Sentiment, Symbol, read_backup
from relay.errors import Corrupt, Reject

from local.stand_ins.firestream import data
from tests.factories import callers

DAY = date(2024, 1, 2)
TEXT = b"".join(data.lines("message", DAY, 500))
RECORDS = [json.loads(line) for line in TEXT.splitlines()]
BACKUP = gzip.compress(TEXT)
TOO_DEEP = 100_000
"""Levels of JSON that no Python follows: how many it does follow differs between versions."""


def source(*lines: str | bytes) -> io.BytesIO:
    """A backup of these lines, in memory."""
    encoded = (line.encode() if isinstance(line, str) else line for line in lines)
    return io.BytesIO(gzip.compress(b"".join(line + b"\n" for line in encoded), 1))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "stocktwits_message_2024_01_02.gz"
    file.write_bytes(BACKUP)
    return file


class CountingFile(io.BytesIO):
    """A file that counts the bytes that were read of it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.bytes_read = 0

    def readinto(self, buffer: Any, /) -> int:
        size = super().readinto(buffer)
        self.bytes_read += size
        return size


# --- What a line becomes


def test_each_line_is_a_dict_in_the_order_of_the_file() -> None:
    assert list(read_backup(io.BytesIO(BACKUP))) == RECORDS


def test_each_line_is_a_message_when_that_is_asked_for() -> None:
    messages = list(read_backup(io.BytesIO(BACKUP), type=Message))
    assert [each.id for each in messages] == [each["id"] for each in RECORDS]
    assert [each.body for each in messages] == [each["body"] for each in RECORDS]
    assert [each.created_at for each in messages] == [each["created_at"] for each in RECORDS]
    assert [each.user.username for each in messages] == [each["user"]["username"] for each in RECORDS]
    assert [[about.symbol for about in each.symbols] for each in messages] == [
        [about["symbol"] for about in each["symbols"]] for each in RECORDS
    ]
    assert [each.entities for each in messages] == [
        Entities(Sentiment(**each["entities"]["sentiment"]) if each["entities"]["sentiment"] else None)
        for each in RECORDS
    ]


def test_a_message_needs_only_what_every_source_agrees_on() -> None:
    least = '{"id":7,"body":"up","created_at":"2024-01-02T00:00:00Z","user":{"id":1,"username":"demo"}}'
    [message] = read_backup(source(least), type=Message)
    assert (message.id, message.user.name, message.symbols, message.entities) == (7, None, [], None)


def test_a_symbol_and_a_sentiment_may_be_empty() -> None:
    line = (
        '{"id":7,"body":"up","created_at":"2024-01-02T00:00:00Z","user":{"id":1,"username":"demo"},'
        '"symbols":[{"symbol":"SPY"}],"entities":{"sentiment":{"basic":null}},"new":[1]}'
    )
    [message] = read_backup(source(line), type=Message)
    assert (message.symbols, message.entities) == ([Symbol("SPY")], Entities(Sentiment(None)))


def test_lines_are_read_into_any_type_that_msgspec_knows() -> None:
    class Only(msgspec.Struct):
        id: int

    assert [each.id for each in read_backup(io.BytesIO(BACKUP), type=Only)] == [each["id"] for each in RECORDS]
    assert list(read_backup(source('{"a":1}', '{"b":2}'), type=dict[str, int])) == [{"a": 1}, {"b": 2}]


def test_an_activity_is_read_in_either_shape() -> None:
    text = b"".join(data.lines("activity", DAY, 50))
    assert list(read_backup(io.BytesIO(gzip.compress(text)))) == [json.loads(line) for line in text.splitlines()]


# --- Where it comes from


def test_a_source_may_be_a_path_or_its_name_or_an_open_file(file: Path) -> None:
    assert list(read_backup(file)) == RECORDS
    assert list(read_backup(str(file))) == RECORDS
    with file.open("rb") as opened:
        assert list(read_backup(opened)) == RECORDS


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Any:
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="archive")
        client.put_object(Bucket="archive", Key="message/2024/01/02/a.gz", Body=BACKUP)
        yield client


def test_a_source_may_be_an_object_in_s3(s3: Any) -> None:
    assert list(read_backup("s3://archive/message/2024/01/02/a.gz", s3=s3)) == RECORDS


def test_without_a_client_one_is_made_as_usual(s3: Any) -> None:
    assert list(read_backup("s3://archive/message/2024/01/02/a.gz")) == RECORDS


def test_the_client_that_is_given_is_the_one_that_is_used(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(boto3, "client")
    assert next(read_backup("s3://archive/message/2024/01/02/a.gz", s3=s3)) == RECORDS[0]


def test_an_object_that_is_not_there_is_an_error_of_s3(s3: Any) -> None:
    with pytest.raises(ClientError, match="NoSuchKey"):
        list(read_backup("s3://archive/message/2024/01/03/a.gz", s3=s3))


def test_a_path_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_backup(tmp_path / "a.gz"))


def test_read_backup_is_in_relay_archive() -> None:
    assert archive.read_backup is read_backup


# --- Lines of all lengths


def test_the_last_line_may_lack_its_newline() -> None:
    assert list(read_backup(io.BytesIO(gzip.compress(TEXT.removesuffix(b"\n"))))) == RECORDS


def test_two_members_are_read_as_one() -> None:
    cut = len(TEXT) // 2
    both = gzip.compress(TEXT[:cut]) + gzip.compress(TEXT[cut:])
    assert list(read_backup(io.BytesIO(both))) == RECORDS


def test_a_backup_without_lines_yields_nothing() -> None:
    assert list(read_backup(io.BytesIO(gzip.compress(b"")))) == []


@pytest.mark.parametrize("beyond", range(-4, 5))
def test_a_line_across_two_blocks_is_one_line(beyond: int) -> None:
    first = "x" * (BLOCK_BYTES - len('{"a":""}\n') + beyond)
    assert list(read_backup(source(json.dumps({"a": first}), '{"b":2}', '{"c":3}'))) == [
        {"a": first},
        {"b": 2},
        {"c": 3},
    ]


@pytest.mark.parametrize("blocks", [1, 2, 3, 9])
def test_a_line_longer_than_a_block_is_read_whole(blocks: int) -> None:
    long = [str(number) * (blocks * BLOCK_BYTES) for number in (1, 2)]
    lines = ['{"a":0}', *(json.dumps({"a": each}) for each in long), '{"a":3}']
    assert [each["a"] for each in read_backup(source(*lines))] == [0, *long, 3]


# --- What is wrong is named


@pytest.mark.parametrize("at", [0, 1, 20, -8, -1])
def test_a_damaged_backup_is_refused(at: int) -> None:
    damaged = bytearray(BACKUP)
    damaged[at] ^= 0xFF
    with pytest.raises(Corrupt, match="damaged"):
        list(read_backup(io.BytesIO(damaged)))


def test_damage_that_shows_in_a_line_first_is_refused_as_that_line() -> None:
    text = bytearray(gzip.compress(TEXT, 0))  # stored as it is, so that one line is all that changes
    text[text.index(b'{"id"', 5000)] = ord("[")
    with pytest.raises(Reject, match=r"^line \d+: "):
        list(read_backup(io.BytesIO(text)))


@pytest.mark.parametrize("cut", [1, 8, len(BACKUP) // 2, len(BACKUP) - 1])
def test_a_backup_that_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(Corrupt, match=f"ends early, after {cut} bytes"):
        list(read_backup(io.BytesIO(BACKUP[:cut])))


def test_a_file_that_keeps_the_frames_it_is_read_from_is_read_however_long_its_lines() -> None:
    class Keeping(CountingFile):
        kept: ClassVar[list[FrameType]] = []

        def readinto(self, buffer: Any, /) -> int:
            self.kept.extend(callers())
            return super().readinto(buffer)

    record = {"a": "x" * (5 * BLOCK_BYTES)}
    assert list(read_backup(Keeping(source(json.dumps(record)).getvalue()))) == [record]


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(Corrupt, match="empty"):
        list(read_backup(io.BytesIO()))


def test_an_error_of_the_file_comes_through() -> None:
    class Broken(CountingFile):
        def readinto(self, buffer: Any, /) -> int:
            if self.tell() > 1000:
                raise OSError("disk")
            return super().readinto(memoryview(buffer)[:100])

    with pytest.raises(OSError, match="disk"):
        list(read_backup(Broken(BACKUP)))


@pytest.mark.parametrize("at", [0, 1, 100, 499])
@pytest.mark.parametrize(
    "line",
    [
        b"This is not a JSON object",
        b"[]",
        b"null",
        b'{"id":1',
        b'{"id":1},',
        b'{"id":"\xff"}',
        b'{"a":' * TOO_DEEP + b"1" + b"}" * TOO_DEEP,
    ],
)
def test_a_line_that_is_not_an_object_is_named_by_its_number(line: bytes, at: int) -> None:
    lines = TEXT.splitlines()
    lines[at] = line
    with pytest.raises(Reject, match=rf"^line {at + 1}: "):
        list(read_backup(source(*lines)))


def test_a_bad_line_without_a_newline_is_named_too() -> None:
    with pytest.raises(Reject, match=r"^line 501: "):
        list(read_backup(io.BytesIO(gzip.compress(TEXT + b"late"))))


def test_a_line_that_does_not_fit_the_type_is_named_with_the_field() -> None:
    lines = TEXT.splitlines()
    lines[321] = lines[321].replace(b'"body":"', b'"body":0,"was":"')
    with pytest.raises(Reject) as refused:
        list(read_backup(source(*lines), type=Message))
    assert refused.value.reason == "line 322: Expected `str`, got `int` - at `$.body`"


def test_what_comes_before_the_block_of_a_bad_line_is_yielded() -> None:
    good: list[dict[str, Any]] = []
    with pytest.raises(Reject, match=r"^line 501: "):
        good.extend(read_backup(source(*TEXT.splitlines(), b"late")))  # which keeps what came before the error
    assert good == RECORDS[: len(good)]
    assert len(good) > 300


# --- A stream, in little memory


def test_the_first_line_comes_long_before_the_whole_was_read() -> None:
    file = CountingFile(gzip.compress(TEXT * 40, 0))
    assert next(read_backup(file)) == RECORDS[0]
    assert file.bytes_read < len(file.getvalue()) / 10


def test_memory_does_not_grow_with_the_file() -> None:
    def peak(times: int) -> int:
        content = io.BytesIO(gzip.compress(TEXT * times, 1))
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_backup(content, type=Message)) == 500 * times
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(32) < 1.1 * peak(8)


def test_a_reader_that_is_closed_closes_what_it_opened(file: Path, s3: Any) -> None:
    opened = []
    get_object = s3.get_object

    def recorded(**what: Any) -> Any:
        answer = get_object(**what)
        opened.append(answer["Body"])
        return answer

    s3.get_object = recorded
    lines = read_backup("s3://archive/message/2024/01/02/a.gz", s3=s3)
    next(lines)
    assert not opened[0]._raw_stream.closed
    lines.close()  # type: ignore[attr-defined]
    assert opened[0]._raw_stream.closed


def test_a_path_is_closed_at_the_end_and_when_its_reader_is(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    really_open = open

    def recorded(*what: Any, **how: Any) -> Any:
        opened.append(really_open(*what, **how))
        return opened[-1]

    monkeypatch.setattr("builtins.open", recorded)
    lines = read_backup(file)
    next(lines)
    assert not opened[0].closed
    lines.close()  # type: ignore[attr-defined]
    assert opened[0].closed
    assert len(list(read_backup(file))) == 500
    assert opened[1].closed


def test_a_file_of_the_callers_stays_open() -> None:
    file = io.BytesIO(BACKUP)
    assert len(list(read_backup(file))) == 500
    assert not file.closed
    lines = read_backup(io.BytesIO(BACKUP))
    next(lines)
    lines.close()  # type: ignore[attr-defined]
    file.seek(0)
    assert next(read_backup(file)) == RECORDS[0]
