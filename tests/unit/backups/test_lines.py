"""What a line is: the verifier and the reader are held to the standard library on files of every odd kind.

The reference is what the vendor's documentation does: `gzip.open`, and `json.loads` for each line.
"""

import gzip
import io
import json
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from relay.backups import reader, verifier
from relay.backups.lines import content, has_braces, parse
from relay.backups.reader import BadLine, read_backup
from relay.backups.verifier import Content, verify
from relay.errors import Corrupt

MARK = b"\xef\xbb\xbf"
SMALL_BLOCK = 48
"""Bytes of a block in these tests, so that lines cross the ends of blocks and are longer than several."""

LONGEST = 200
"""The longest line in these tests."""


@dataclass
class Reference:
    """What the standard library makes of a file.

    Attributes:
        values: The objects.
        bad: The numbers of the lines that are neither empty nor an object.
        empty: How many lines are empty.
    """

    values: list[dict[str, Any]]
    bad: list[int]
    empty: int


def reference(file: bytes) -> Reference:
    found = Reference([], [], 0)
    with gzip.open(io.BytesIO(file)) as lines:
        for number, line in enumerate(lines, 1):
            text = line.strip(b" \t\r\n")
            if text in {b"", MARK}:
                found.empty += 1
                continue
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                value = None
            if isinstance(value, dict) and len(line.removesuffix(b"\n")) <= LONGEST:
                found.values.append(value)
            else:
                found.bad.append(number)
    return found


def by_braces(file: bytes) -> Content:
    """What the verifier is to find: the reference, with braces instead of parsing where it does not parse."""
    with gzip.open(io.BytesIO(file)) as opened:
        text = opened.read()
    lines = text.split(b"\n")[: text.count(b"\n") + (not text.endswith(b"\n") and text != b"")]
    kinds = []
    for line in lines:
        inner = line.strip(b" \t\r")
        inner = inner.removeprefix(MARK).lstrip(b" \t\r")
        braces = inner[:1] == b"{" and inner[-1:] == b"}" and len(line) <= LONGEST
        kinds.append("empty" if not inner else "braces" if braces else "odd")
    parsed = False
    full = [number for number, kind in enumerate(kinds) if kind != "empty"]
    for number in full:
        is_long = len(lines[number]) >= SMALL_BLOCK
        if kinds[number] == "braces" and not is_long and (not parsed or number == full[-1]):
            if number in {each - 1 for each in reference(gzip.compress(text)).bad}:
                kinds[number] = "odd"
            else:
                parsed = True
    odd = [number for number, kind in enumerate(kinds, 1) if kind == "odd"]
    return Content(kinds.count("braces"), len(text), kinds.count("empty"), len(odd), odd[0] if odd else None)


# Files of every odd kind

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
objects = st.dictionaries(st.text(max_size=3), json_values, max_size=3).map(
    lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
)
escaped = st.dictionaries(st.text(st.characters(), max_size=3), json_values, max_size=3).map(
    lambda value: json.dumps(value).encode()
)
oddities = st.sampled_from(
    [
        b"", b"{", b"}", b"{}{}", b"{} {}", b"[{}]", b"null", b'"{}"', b"{,}", b"{no}", b'{"a":1},', b'{"a":1',
        b'{"a":01}', b'{"a":"\xff"}', b'{"a":"\x01"}', b'{"a":"\xed\xa0\x80"}', rb'{"a":"\ud800"}', rb'{"\ud800":1}',
        b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1e999}', b'{"a":1,"a":[]}', b'{"a":' + b"9" * 60 + b"}",
        b'{"a":"}\\n{"}', b'{"a":"' + b"x" * 90 + b'"}', b'{"a":"' + b"x" * 300 + b'"}', b"x" * 150, b"{" + b" " * 99,
        b" " * 120 + b"{}" + b" " * 60, b" " * 250, b"\x0b{}", b"{}\0", b"\xc2\xa0{}", b"{'a':1}", b"<html>",
        b"\x1f\x8b\x08\0",
    ]
)  # fmt: skip
spaces = st.sampled_from([b"", b"", b"", b" ", b"\t", b"\r", b" \t\r "])
marks = st.sampled_from([b"", b"", b"", b"", MARK])
lines = st.builds(
    lambda mark, before, text, after: before + mark + text + after, marks, spaces, objects | escaped | oddities, spaces
)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A gzip file of lines, in one member or two, that were divided anywhere."""
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    text = draw(marks) + end.join(draw(st.lists(lines, max_size=12))) + draw(st.sampled_from([b"", end]))
    cut = draw(st.integers(0, len(text)))
    return (
        gzip.compress(text, mtime=0) if draw(st.booleans()) else gzip.compress(text[:cut]) + gzip.compress(text[cut:])
    )


@pytest.fixture(autouse=True, scope="module")
def _small() -> Any:
    with (
        patch.object(verifier, "BLOCK_BYTES", SMALL_BLOCK),
        patch.object(reader, "BLOCK_BYTES", SMALL_BLOCK),
        patch.object(verifier, "MAX_LINE_BYTES", LONGEST),
        patch.object(reader, "MAX_LINE_BYTES", LONGEST),
    ):
        yield


@given(files())
@example(gzip.compress(MARK))
@example(gzip.compress(MARK + b"\r\n{}\r\n"))
@example(gzip.compress(MARK + b" " * 250))
@settings(max_examples=400)
def test_the_reader_reads_what_the_standard_library_reads_and_names_the_other_lines(file: bytes) -> None:
    bad: list[BadLine] = []
    values = list(read_backup(io.BytesIO(file), errors=bad.append))
    expected = reference(file)
    assert repr(values) == repr(expected.values)  # NaN equals nothing
    assert [each.number for each in bad] == expected.bad


@given(files())
@settings(max_examples=200)
def test_reading_raw_lines_finds_the_same_lines(file: bytes) -> None:
    bad: list[BadLine] = []
    raw = [bytes(line) for line in read_backup(io.BytesIO(file), type=msgspec.Raw, errors=bad.append)]
    expected = reference(file)
    readable = [json.loads(line.decode(errors="replace")) for line in raw]
    assert {each.number for each in bad} <= set(expected.bad)
    assert len(readable) + len(bad) == len(expected.values) + len(expected.bad)


@given(files())
@settings(max_examples=400)
def test_the_verifier_counts_the_same_lines_by_their_braces(file: bytes) -> None:
    expected = by_braces(file)
    if expected.odd and not expected.lines:
        with pytest.raises(Corrupt, match="the file holds "):
            verify(io.BytesIO(file))
    else:
        assert verify(io.BytesIO(file)) == expected


@given(files())
@settings(max_examples=200)
def test_what_the_reader_reads_counts_as_an_object_to_the_verifier(file: bytes) -> None:
    expected = reference(file)
    try:
        found = verify(io.BytesIO(file))
    except Corrupt:
        assert expected.values == []
        return
    assert found.lines >= len(expected.values)
    assert found.empty == expected.empty
    assert found.lines + found.odd == len(expected.values) + len(expected.bad)


# One line


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (b"{}\n", b"{}"),
        (b" \t\r{} \t\r\n", b"{}"),
        (MARK + b"{}", b"{}"),
        (b" " + MARK + b" {}\r\n", b"{}"),
        (MARK + b"\r\n", b""),
        (b"\r\n", b""),
        (MARK + MARK + b"{}", MARK + b"{}"),
        (b"\x0b{}\x0c", b"\x0b{}\x0c"),
    ],
)
def test_white_space_and_a_byte_order_mark_do_not_count(line: bytes, left: bytes) -> None:
    assert content(line) == left


@pytest.mark.parametrize(("text", "has"), [(b"{}", True), (b"{x}", True), (b"{", False), (b"}", False), (b"", False)])
def test_braces_are_one_at_each_end(text: bytes, has: bool) -> None:
    assert has_braces(text) is has


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"secret", "it is not JSON: Expecting value (character 1)"),
        (b'{"a":"secret\xff"}', "it is not UTF-8: invalid start byte (byte 13)"),
        (b'["secret"]', "it is JSON, but not an object"),
        (b"[" * 100_000, "it is nested too deeply"),
    ],
)
def test_why_a_line_is_not_an_object_is_said_without_quoting_it(line: bytes, reason: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  the next line compares the whole text
        parse(line)
    assert str(refused.value) == reason
