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
from relay.backups.lines import MAX_LINE_BYTES
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
    assert "its only line is not a JSON object" in reason(gzip.compress(b"{,}"))


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


def test_lines_are_numbered_from_the_files_beginning_whatever_block_they_are_in() -> None:
    many = TEXT * (3 * BLOCK_BYTES // len(TEXT))
    before = many.count(b"\n")
    assert verified(gzip.compress(many + b"late\n" + TEXT, 1)).first_odd == before + 1


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_reading_in_small_pieces_makes_no_difference(size: int) -> None:
    assert verify(SmallReads(WHOLE, size)) == Content(200, len(TEXT))
    assert verify(SmallReads(WHOLE + WHOLE, size)) == Content(400, 2 * len(TEXT))
    assert verify(SmallReads(zipped(b"\xef\xbb\xbf{}\r", b"no", b"", b"{}"), size)) == Content(2, 14, 1, 1, 2)
    for broken in (WHOLE[:-1], WHOLE + b"garbage", zipped(b"<html>")):
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
        b"\x0b{}",
        b"{}\x0c",
        b"{}\0",
        b"\xc2\xa0{}",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b"\xff\xfe{}",
    ],
)
def test_an_odd_line_is_counted_and_numbered_and_the_others_are_stored(line: bytes, at: int) -> None:
    lines = TEXT.splitlines()
    lines[at] = line
    found = verified(zipped(*lines))
    assert (found.lines, found.empty, found.odd, found.first_odd) == (199, 0, 1, at + 1)


def test_the_first_of_several_odd_lines_is_numbered_and_empty_lines_count_for_that() -> None:
    assert verified(zipped(b"{}", b"no", b"", b"[]", b"{}")) == Content(2, 13, empty=1, odd=2, first_odd=2)
    assert verified(zipped(b"{}", b"", b"no", b"[]", b"{}")) == Content(2, 13, empty=1, odd=2, first_odd=3)


@pytest.mark.parametrize("line", [b"{no json}", b'{"a":1}{"b":2}', b'{"a":"\xff"}', b"{" * 50_000 + b"}" * 50_000])
@pytest.mark.parametrize("at", [0, 199])
def test_braces_are_not_enough_for_the_first_and_the_last_line(line: bytes, at: int) -> None:
    lines = TEXT.splitlines()
    lines[at] = line
    found = verified(zipped(*lines))
    assert (found.lines, found.odd, found.first_odd) == (199, 1, at + 1)
    assert reason(zipped(*lines)[:-1]).startswith("the gzip data")


def test_lines_are_parsed_until_one_is_an_object() -> None:
    assert verified(zipped(b"{no}", b"no", b"{no}", b"{}", b"{no}", b"{}")) == Content(3, 24, odd=3, first_odd=1)


@pytest.mark.parametrize("after", [b"", b"\n\n", b" \r\n"])
def test_the_last_line_that_is_not_empty_is_parsed(after: bytes) -> None:
    found = verified(gzip.compress(b"{}\n{}\n{no}\n" + after))
    assert (found.lines, found.odd, found.first_odd) == (2, 1, 3)


def test_the_last_line_is_parsed_even_in_a_block_of_its_own() -> None:
    text = a_line(BLOCK_BYTES - 10) + a_line(BLOCK_BYTES // 2)
    assert verified(gzip.compress(text, 1)).lines == 2
    assert verified(gzip.compress(text + b"{no json}", 1)).first_odd == 3


def test_an_odd_line_before_a_last_line_that_is_odd_too_is_the_first() -> None:
    found = verified(zipped(b"{}", b"no", b"{}", b"{no}"))
    assert (found.lines, found.odd, found.first_odd) == (2, 2, 2)


def test_braces_are_enough_for_the_lines_between() -> None:
    assert verified(zipped(b"{}", b"{no json}", b"{}")).lines == 3


# --- What does not count


@pytest.mark.parametrize("end", [b"\r\n", b"\r\r\n", b" \n", b"\t\n", b" \t\r \n"])
@pytest.mark.parametrize("begin", [b"", b" ", b"\t", b"\r"])
def test_white_space_around_lines_does_not_count(begin: bytes, end: bytes) -> None:
    text = b"".join(begin + line + end for line in TEXT.splitlines())
    assert verified(gzip.compress(text)) == Content(200, len(text))
    assert verified(gzip.compress(text.removesuffix(b"\n"))) == Content(200, len(text) - 1)


@pytest.mark.parametrize("at", [0, 1, 100, 199])
@pytest.mark.parametrize("line", [b'{"id":1} ', b' {"id":1}', b'\t{"id":1}\r', b'\xef\xbb\xbf{"id":1}'])
def test_one_line_among_others_may_have_it(line: bytes, at: int) -> None:
    lines = TEXT.splitlines()
    lines[at] = line
    found = verified(zipped(*lines))
    assert (found.lines, found.empty, found.odd) == (200, 0, 0)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_byte_order_mark_at_the_files_beginning_does_not_count(end: bytes) -> None:
    text = b"\xef\xbb\xbf" + TEXT.replace(b"\n", end)
    assert verified(gzip.compress(text)) == Content(200, len(text))


def test_each_of_two_files_that_were_joined_may_have_a_byte_order_mark() -> None:
    member = gzip.compress(b"\xef\xbb\xbf" + TEXT)
    assert verified(member + member) == Content(400, 2 * len(TEXT) + 6)


@pytest.mark.parametrize("empty", [b"\n", b"\r\n", b"\r\n ", b" ", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n\n"])
def test_a_file_of_empty_lines_is_a_day_without_lines(empty: bytes) -> None:
    found = verified(gzip.compress(empty))
    assert (found.lines, found.odd) == (0, 0)
    assert found.empty == len(empty.splitlines())


@pytest.mark.parametrize("empty", [b"\n", b"\r\n", b" \n", b"\n\n\n"])
def test_empty_lines_are_counted_apart_wherever_they_are(empty: bytes) -> None:
    text = empty + TEXT + empty + TEXT + empty
    assert verified(gzip.compress(text)) == Content(400, len(text), empty=3 * empty.count(b"\n"))


# --- Long lines


@pytest.mark.parametrize("size", [BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 7])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \n", b""])
def test_a_line_longer_than_a_block_is_an_object_by_its_braces(size: int, end: bytes) -> None:
    text = TEXT + a_line(size).removesuffix(b"\n") + end
    assert verified(gzip.compress(text, 1)) == Content(201, len(text))
    if end:
        assert verified(gzip.compress(text + TEXT, 1)) == Content(401, len(text + TEXT))


@pytest.mark.parametrize(("first", "last"), [(b"[", b"}"), (b"{", b"]"), (b"x", b"x"), (b"{", b"{")])
def test_a_long_line_without_them_is_odd(first: bytes, last: bytes) -> None:
    found = verified(gzip.compress(TEXT + first + b" " * (2 * BLOCK_BYTES) + last + b"\n" + TEXT, 1))
    assert (found.lines, found.odd, found.first_odd) == (400, 1, 201)


def test_the_white_space_around_a_line_may_be_longer_than_a_block() -> None:
    space = b" " * (2 * BLOCK_BYTES + 5)
    assert verified(gzip.compress(TEXT + space + b"{}" + space + b"\n" + space + b"\n{}", 1)).lines == 202
    assert verified(gzip.compress(space + b"\n" + TEXT + space, 1)).empty == 2


def test_a_line_of_64_mebibytes_is_an_object_and_a_longer_one_is_odd() -> None:
    longest, longer = a_line(MAX_LINE_BYTES + 1), a_line(MAX_LINE_BYTES + 2)  # with their newlines
    assert verified(gzip.compress(TEXT + longest, 1)).lines == 201
    found = verified(gzip.compress(TEXT + longer + TEXT, 1))
    assert (found.lines, found.odd, found.first_odd) == (400, 1, 201)


# --- What holds no object at all


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (WHOLE, "gzip data within the gzip file, which was compressed twice"),
        (gzip.compress(b"\n".join(random.Random(5).randbytes(9000) for _ in range(500))), "gzip data within the gzip"),
        (b"PK\x03\x04\x14\0", "a ZIP archive"),
        (b"<html><body>Sign in</body></html>", "a web page"),
        (b"\r\n\r\n<!DOCTYPE html>\n<html>\n</html>", "a web page"),
        (b"\xef\xbb\xbf<!doctype HTML>", "a web page"),
        (b'<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code></Error>', "XML"),
        (b'[{"id":1},\n{"id":2}]', "a JSON list"),
        (b'{\n  "id": 1\n}\n', "JSON objects that are cut, too long, or on several lines each"),
        (b'{"id":1', "JSON objects that are cut"),
        ('{"id":1}\n{"id":2}\n'.encode("utf-16"), "text in UTF-16"),
        ('{"id":1}\n{"id":2}\n'.encode("utf-16-le"), "text in UTF-16"),
        ('{"id":1}\n{"id":2}\n'.encode("utf-16-be"), "text in UTF-16"),
        (bytes(500), "binary data"),
        (b"id,body\n1,up\n", "other text"),
    ],
)
def test_what_holds_no_object_is_refused_and_named(text: bytes, what: str) -> None:
    assert reason(gzip.compress(text)).startswith(f"the file holds {what}")


def test_its_reason_says_how_many_lines_there_are_and_what_to_do() -> None:
    assert reason(zipped(b"a", b"", b"{b}", b"c")) == (
        "the file holds other text: none of its 3 lines is a JSON object; "
        "if Firestream keeps sending it, report it to StockTwits"
    )
    assert "other text: its only line is not a JSON object; if" in reason(zipped(b"a"))


def test_gzip_within_gzip_is_refused_although_bytes_between_newlines_may_look_like_braces() -> None:
    assert reason(gzip.compress(b"\x1f\x8b\x08\0\n{\x9c}\n\xff\n{\x01}\n")).startswith("the file holds gzip data")


@pytest.mark.parametrize("text", [b"no\n{}\n", b"{}\nno\n", b"<html>\n{}"])
def test_one_object_is_enough(text: bytes) -> None:
    assert verified(gzip.compress(text)).lines == 1


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


def test_a_line_takes_no_more_memory_however_long_it_is() -> None:
    endless = gzip.compress(b"{" + b"x" * 100_000_000 + b"}\n{}")
    tracemalloc.start()
    try:
        assert verified(endless) == Content(1, 100_000_005, odd=1, first_odd=1)
        assert tracemalloc.get_traced_memory()[1] < 8 * BLOCK_BYTES
    finally:
        tracemalloc.stop()


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
