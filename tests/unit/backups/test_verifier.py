"""What counts as a whole backup, and that nothing else does."""

import gzip
import io
import json
import random
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.backups.gunzip import READ_BYTES
from relay.backups.verifier import BLOCK_BYTES, Content, verify
from relay.errors import Corrupt, Retry

from tests.factories import callers

LINES = [json.dumps({"id": number, "body": f"$AAPL {random.Random(number).random()}"}) for number in range(200)]
TEXT = "".join(f"{line}\n" for line in LINES).encode()
WHOLE = gzip.compress(TEXT, mtime=0)
HEADER_BYTES = 10
TRAILER_BYTES = 8


def verified(content: bytes) -> Content:
    return verify(io.BytesIO(content))


def reason(content: bytes) -> str:
    with pytest.raises(Corrupt) as refused:
        verified(content)
    return refused.value.reason


def zipped(*lines: bytes) -> bytes:
    return gzip.compress(b"".join(line + b"\n" for line in lines), mtime=0)


def a_line(size: int) -> bytes:
    """A JSON object of so many bytes, its newline included."""
    return b'{"a":"' + b"x" * (size - 9) + b'"}\n'


class SmallReads:
    """A file that gives a few bytes at a time, and in the end, if it has one, raises its error."""

    def __init__(self, content: bytes, size: int, error: BaseException | None = None) -> None:
        self._content = io.BytesIO(content)
        self._size = size
        self._error = error

    def readinto(self, buffer: memoryview, /) -> int:
        piece = self._content.read(min(self._size, len(buffer)))
        buffer[: len(piece)] = piece
        if not piece and self._error:
            raise self._error
        return len(piece)


class Keeping(io.BytesIO):
    """A file that keeps what it was given to read into, and the frames that it was called from."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.views: list[memoryview] = []
        self.frames: list[Any] = []

    def readinto(self, buffer: Any, /) -> int:
        self.views.append(buffer)
        self.frames += callers()
        return super().readinto(buffer)


# --- What is whole


def test_verifying_a_whole_backup_returns_its_lines_and_bytes() -> None:
    assert verified(WHOLE) == Content(lines=200, text_bytes=len(TEXT))


def test_a_view_that_a_file_keeps_never_shows_memory_that_the_decoder_has_freed() -> None:
    file = Keeping(WHOLE)
    verify(file)
    assert file.views
    for view in file.views:
        with pytest.raises(ValueError, match="released"):
            bytes(view)


def test_the_last_line_may_lack_its_newline() -> None:
    assert verified(gzip.compress(TEXT.removesuffix(b"\n"))) == Content(200, len(TEXT) - 1)


def test_two_members_are_one_backup_wherever_the_text_was_divided() -> None:
    middle_of_a_line = TEXT.index(b"\n", 3000) - 5
    for cut in (0, 3000, middle_of_a_line, len(TEXT)):
        both = gzip.compress(TEXT[:cut]) + gzip.compress(TEXT[cut:])
        assert verified(both) == Content(200, len(TEXT))


def test_a_backup_of_a_day_without_lines_is_whole() -> None:
    assert verified(gzip.compress(b"")) == Content(0, 0)


def test_one_line_is_the_first_and_the_last() -> None:
    assert verified(zipped(b"{}")) == Content(1, 3)
    assert verified(gzip.compress(b"{}")) == Content(1, 2)
    assert reason(gzip.compress(b"{,}")) == "line 1 is not a JSON object"


@pytest.mark.parametrize("level", [0, 1, 9])
def test_any_level_of_compression_is_accepted(level: int) -> None:
    assert verified(gzip.compress(TEXT, level)) == Content(200, len(TEXT))


def test_a_header_may_have_a_name() -> None:
    target = io.BytesIO()
    with gzip.GzipFile("stocktwits_message_2016_12_05", "wb", fileobj=target) as file:
        file.write(TEXT)
    assert verified(target.getvalue()) == Content(200, len(TEXT))


def named(name: bytes) -> bytes:
    """The whole backup with a name in its header."""
    return WHOLE[:3] + b"\x08" + WHOLE[4:HEADER_BYTES] + name + b"\0" + WHOLE[HEADER_BYTES:]


@pytest.mark.parametrize("flags", [b"\x10", b"\x18"], ids=["comment", "name and comment"])
def test_a_header_without_an_end_is_refused(flags: bytes) -> None:
    assert "damaged" in reason(WHOLE[:3] + flags + WHOLE[4:HEADER_BYTES] + b"x" * 3_000_000)


def test_a_header_that_is_longer_than_what_is_read_at_a_time_is_refused() -> None:
    assert verified(named(b"x" * 500_000)) == Content(200, len(TEXT))
    assert reason(named(b"x" * READ_BYTES)).startswith("the gzip data is damaged within the first ")


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_headers_own_checksum_counts_where_it_has_one(wrong: int) -> None:
    header = WHOLE[:3] + b"\x02" + WHOLE[4:HEADER_BYTES]
    checksum = (zlib.crc32(header) & 0xFFFF) ^ wrong
    content = header + checksum.to_bytes(2, "little") + WHOLE[HEADER_BYTES:]
    if wrong:
        assert "damaged" in reason(content)
    else:
        assert verified(content) == Content(200, len(TEXT))


@pytest.mark.parametrize("beyond", range(-4, 5))
def test_a_line_across_two_blocks_is_one_line(beyond: int) -> None:
    before = a_line(BLOCK_BYTES // 2) + a_line(BLOCK_BYTES // 2 + beyond)
    text = before + b'{"b":2}\n' + a_line(BLOCK_BYTES - 1) + b"{}\n"
    assert verified(gzip.compress(text, 1)) == Content(5, len(text))


def test_the_longest_line_is_one_byte_shorter_than_a_block() -> None:
    longest, too_long = a_line(BLOCK_BYTES), a_line(BLOCK_BYTES + 1)
    assert verified(gzip.compress(longest[:-1], 1)).lines == 1  # its newline does not count
    assert verified(gzip.compress(TEXT + longest + b"{}\n", 1)).lines == 202
    assert reason(gzip.compress(TEXT + too_long, 1)) == f"line 201 is longer than {BLOCK_BYTES} bytes"


def test_lines_are_numbered_from_the_files_beginning_whatever_block_they_are_in() -> None:
    many = TEXT * (3 * BLOCK_BYTES // len(TEXT))
    before = many.count(b"\n")
    assert reason(gzip.compress(many + b"late\n" + TEXT, 1)) == f"line {before + 1} is not a JSON object"


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_reading_in_small_pieces_makes_no_difference(size: int) -> None:
    assert verify(SmallReads(WHOLE, size)) == Content(200, len(TEXT))
    assert verify(SmallReads(WHOLE + WHOLE, size)) == Content(400, 2 * len(TEXT))
    for broken in (WHOLE[:-1], WHOLE + b"garbage", zipped(b"{}", b"no", b"{}")):
        with pytest.raises(Corrupt):
            verify(SmallReads(broken, size))


# --- What is not gzip to its end


def test_an_empty_file_is_refused() -> None:
    assert reason(b"") == "the file is empty, and so not a gzip file"


@given(st.integers(1, len(WHOLE) - 1))
def test_a_file_cut_off_anywhere_is_refused(cut: int) -> None:
    assert reason(WHOLE[:cut]) == f"the gzip data ends early, after {cut} bytes"


@given(st.integers(1, len(WHOLE) - 1))
def test_a_second_member_cut_off_anywhere_is_refused(cut: int) -> None:
    assert reason(WHOLE + WHOLE[:cut]).startswith("the gzip data ends early")


def test_a_flipped_bit_anywhere_in_the_data_is_refused() -> None:
    # The last byte of the data is left out: bits that fill it up mean nothing.
    bits = range(HEADER_BYTES * 8, (len(WHOLE) - TRAILER_BYTES - 1) * 8)
    for bit in random.Random(3).sample(bits, 2000):
        flipped = bytearray(WHOLE)
        flipped[bit // 8] ^= 1 << bit % 8
        reason(bytes(flipped))


@pytest.mark.parametrize("position", range(len(WHOLE) - TRAILER_BYTES, len(WHOLE)))
def test_each_byte_of_the_check_and_of_the_length_counts(position: int) -> None:
    flipped = bytearray(WHOLE)
    flipped[position] ^= 0x01
    assert reason(bytes(flipped)).startswith("the gzip data is damaged within the first ")


@pytest.mark.parametrize(
    "garbage",
    [
        b"g",
        b"garbage",
        b"\n",
        TEXT,
        b"\x1f",
        b"\x1f\x8b",
        b"\x1f\x8b\x08",
        WHOLE[:20],
        b"\0garbage",
        zlib.compress(TEXT),
    ],
)
def test_bytes_after_the_last_member_are_refused(garbage: bytes) -> None:
    assert reason(WHOLE + garbage).startswith("the gzip data ")


@pytest.mark.parametrize("content", [TEXT, zlib.compress(TEXT), b"<html>Not found</html>", b"PK\x03\x04" + WHOLE])
def test_a_file_that_is_not_gzip_is_refused(content: bytes) -> None:
    assert reason(content).startswith("the gzip data is damaged within the first ")


# --- Lines that are not objects


@pytest.mark.parametrize("at", [0, 1, 100, 198, 199])
@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"This is not a JSON object",
        b"[]",
        b'[{"a":1}]',
        b"null",
        b'"{}"',
        b"{",
        b"}",
        b"{}]",
        b"[{}",
        b'{"a":1',
        b'"a":1}',
        b'{"a":1},',
        b"\xef\xbb\xbf{}",
    ],
)
def test_a_line_that_is_not_an_object_is_named_by_its_number(line: bytes, at: int) -> None:
    lines = TEXT.splitlines()
    lines[at] = line
    assert reason(zipped(*lines)) == f"line {at + 1} is not a JSON object"


def test_the_first_of_several_bad_lines_is_named() -> None:
    assert reason(zipped(b"{}", b"no", b"", b"[]", b"{}")) == "line 2 is not a JSON object"
    assert reason(zipped(b"{}", b"", b"no", b"[]", b"{}")) == "line 2 is not a JSON object"


def test_an_empty_line_at_the_end_is_a_line() -> None:
    assert reason(gzip.compress(b"{}\n\n")) == "line 2 is not a JSON object"


@pytest.mark.parametrize("line", [b"{no json}", b'{"a":1}{"b":2}', b'{"a":"\xff"}', b"{" * 50_000 + b"}" * 50_000])
@pytest.mark.parametrize("at", [0, 199])
def test_braces_are_not_enough_for_the_first_and_the_last_line(line: bytes, at: int) -> None:
    lines = TEXT.splitlines()
    lines[at] = line
    assert reason(zipped(*lines)) == f"line {at + 1} is not a JSON object"
    assert reason(zipped(*lines)[:-1]).startswith("the gzip data")  # which is named first, where both are wrong


def test_the_last_line_is_parsed_even_in_a_block_of_its_own() -> None:
    text = a_line(BLOCK_BYTES - 10) + a_line(BLOCK_BYTES // 2)
    assert verified(gzip.compress(text, 1)).lines == 2
    assert reason(gzip.compress(text + b"{no json}", 1)) == "line 3 is not a JSON object"


def test_braces_are_enough_for_the_lines_between() -> None:
    assert verified(zipped(b"{}", b"{no json}", b"{}")).lines == 3


# --- Memory, and errors of the file


def test_a_small_file_that_unpacks_to_much_takes_no_more_memory() -> None:
    bomb = gzip.compress(a_line(1000) * 64_000)
    assert len(bomb) < BLOCK_BYTES
    tracemalloc.start()
    try:
        assert verified(bomb) == Content(64_000, 64_000_000)
        assert tracemalloc.get_traced_memory()[1] < 8 * BLOCK_BYTES
    finally:
        tracemalloc.stop()


def test_a_small_file_that_unpacks_to_an_endless_line_is_refused_at_once() -> None:
    file = io.BytesIO(gzip.compress(b"{" + b"x" * 64_000_000) * 40)
    with pytest.raises(Corrupt, match="line 1 is longer than"):
        verify(file)
    assert file.tell() <= BLOCK_BYTES  # and not read to its end


class OddError(Exception):
    """Nothing that a decoder would raise."""


@pytest.mark.parametrize(
    "error", [Retry("the link broke"), OSError("disk"), EOFError("odd"), OddError(), MemoryError()]
)
def test_an_error_of_the_file_comes_through_as_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:
        verify(SmallReads(WHOLE[:1000], 300, error))
    assert raised.value is error


@given(st.integers(0, 2 * len(WHOLE)))
def test_an_error_of_the_file_is_not_taken_for_the_end_of_the_data(read: int) -> None:
    error = Retry("the link broke")
    with pytest.raises(Retry) as raised:
        verify(SmallReads((WHOLE + WHOLE)[:read], 50, error))
    assert raised.value is error


@pytest.mark.parametrize("read", [0, 1, 2, 9, 10, -8, -7, -1, len(WHOLE)])
@pytest.mark.parametrize("member", [b"", WHOLE])
def test_an_error_at_the_beginning_or_the_end_of_a_member_is_not_taken_for_its_end(member: bytes, read: int) -> None:
    error = Retry("the link broke")
    with pytest.raises(Retry) as raised:
        verify(SmallReads(member + WHOLE[:read], 1, error))
    assert raised.value is error
