"""Texts that are made to keep a processor busy are refused, or handled, in a time that grows with their length alone.

At 1 MiB, what grows with the square of the length takes minutes here, and does not get past this file's time-out.
"""

import html
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.errors import Reject
from relay.message import MAX_ENTITY_LEVELS, MAX_TEXT_CHARACTERS, count_characters, read, shown, unescaped
from relay.stocktwits import ADDED_ENTITY_LEVELS, normal_form

pytestmark = pytest.mark.timeout(30)

SIZE = 1024 * 1024
UNITS = {
    "links in a link": "http://",
    "secure links in a link": "https://",
    "a link that has no end": "http://x",
    "queries": "http://x?",
    "marks": "?",
    "encoded ampersands": "amp;",
    "decimal ampersands": "#38;",
    "numbers": "9",
    "zeros": "0",
    "entities": "&lt;",
    "ampersands": "&",
    "one word": "x",
    "spaces": " ",
    "lines": "\n",
    "cashtags": "$A",
    "braces": "{",
    "quotes": '"',
    "backslashes": "\\",
    "combining marks": "\u0301",
}
SHAPES = {name: (unit * SIZE)[:SIZE] for name, unit in UNITS.items()} | {
    "ampersands one within the other": "&" + "amp;" * (SIZE // 4),
    "numbers one within the other": "&" + "#38;" * (SIZE // 4),
    "letters one within the other": "&" * (SIZE // 4) + "#35;" * (SIZE // 4),
    "an entity with a large number": "&#" + "9" * SIZE + ";",
    "an entity with many zeros": "&#" + "0" * SIZE + "65;",
    "a link to an entity with a large number": "https://x.org/&#" + "9" * 5000 + ";",
}

SMALL = {"spaces", "lines", "braces", "a link to an entity with a large number"}
"""Empty, unreadable, or within every limit."""


@pytest.mark.parametrize("shape", SHAPES)
def test_a_hostile_text_is_looked_at_in_every_way_that_we_look_at_texts(shape: str) -> None:
    text = SHAPES[shape]
    count_characters(text)
    assert len(shown(text)) <= 1000
    unescaped(text)
    normal_form(text)


@pytest.mark.parametrize("wrap", [str, lambda text: json.dumps({"body": text})], ids=["text", "json"])
@pytest.mark.parametrize("shape", [each for each in SHAPES if each not in SMALL])
def test_a_hostile_message_is_refused_for_its_size_or_its_entities(shape: str, wrap: object) -> None:
    with pytest.raises(Reject, match=r"as it stands|HTML entities|cannot be read|as StockTwits counts") as refused:
        read(wrap(SHAPES[shape]))  # type: ignore[operator]
    assert len(refused.value.reason) < 400


@pytest.mark.parametrize("unit", ["https://x/", "s3://x/", "https://", "s3://", " ", "x"])
def test_a_hostile_chart_is_refused(unit: str) -> None:
    with pytest.raises(Reject, match="chart: "):
        read(json.dumps({"body": "x", "chart": (unit * SIZE)[:SIZE]}))


def test_no_link_makes_a_text_of_more_than_ten_thousand_characters_a_short_one() -> None:
    link = "https://x.org/"
    assert read(link + "a" * (MAX_TEXT_CHARACTERS - len(link))).body.startswith(link)
    with pytest.raises(Reject, match="the body has 10001 characters as it stands"):
        read(link + "a" * (MAX_TEXT_CHARACTERS - len(link) + 1))


def encoded(text: str, times: int) -> str:
    for _ in range(times):
        text = html.escape(text)
    return text


def test_entities_are_resolved_as_deep_as_a_message_may_have_them_and_stocktwits_may_add() -> None:
    for levels in range(MAX_ENTITY_LEVELS + 1):
        text = encoded("a < b", levels)
        assert read(text).body == text
        for added in range(ADDED_ENTITY_LEVELS + 1):
            assert normal_form(encoded(text, added)) == "a < b"
    with pytest.raises(Reject, match="HTML entities are encoded more than 8 times"):
        read(encoded("a < b", MAX_ENTITY_LEVELS + 1))


def test_a_post_whose_entities_go_deeper_than_ours_is_none_of_ours() -> None:
    assert normal_form(encoded("a < b", MAX_ENTITY_LEVELS + ADDED_ENTITY_LEVELS + 1)) != "a < b"


@given(st.text(alphabet="&#xX0123456789;alt mp", max_size=30))
def test_a_text_is_unescaped_as_the_standard_library_does_it_until_nothing_changes(text: str) -> None:
    plain = text
    while (once := html.unescape(plain)) != plain:
        plain = once
    assert unescaped(text, 30) == plain
