"""Texts that are made to keep a processor busy are refused, or handled, in steps that grow with their length alone."""

import html
import json
import re
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.errors import Reject
from relay.posting import alert, instants, not_alerts, reconciliation, stocktwits
from relay.posting.alert import (
    MAX_ENTITY_LEVELS,
    MAX_ENVELOPES,
    MAX_TEXT_CHARACTERS,
    count_characters,
    read,
    shown,
    unescaped,
)
from relay.posting.reconciliation import ADDED_ENTITY_LEVELS, normal_form

from tests.steps import Counter, TooManyStepsError, found, steps
from verification.fuzz.shapes import NAMES, shape

pytestmark = pytest.mark.timeout(180, func_only=True)  # every step is traced

SIZE = 1024 * 1024

SMALL = {"spaces", "lines", "byte order marks", "braces", "a link to an entity with a large number"}
SMALL |= {"fences", "quoted lines"}
"""Empty, unreadable, refused for their look, or within every limit."""


def refused(text: str) -> None:
    """Read a message, which may be refused."""
    with suppress(Reject):
        read(text)


def in_envelopes(text: str) -> str:
    """Wrap a text once more than is taken."""
    for _ in range(MAX_ENVELOPES + 1):
        text = json.dumps({"Type": "Notification", "TopicArn": "arn", "Message": text})
    return text


READING = [alert, instants, not_alerts, reconciliation, stocktwits, html]
"""The modules whose steps are counted."""

USES: dict[str, Callable[[str], object]] = {
    "its characters are counted": count_characters,
    "the log shows it": lambda text: len(shown(text)) <= 1000 or pytest.fail("too much is shown"),
    "its entities are resolved": unescaped,
    "the stream is searched for it": normal_form,
    "a reason quotes it": alert._quoted,
    "StockTwits quotes it in an error": lambda text: stocktwits._quoted({"errors": [{"message": text}]}, "token"),
    "StockTwits quotes it in many errors": lambda text: stocktwits._quoted(
        {"errors": [{"message": each} for each in text[:: len(text) // 1000]]}, "token"
    ),
    "it is read as a message": refused,
    "it is read as a message's body": lambda text: refused(json.dumps({"body": text})),
    "its end is looked for behind text": lambda text: refused(f"x{text}"),
    "it says when an alert expires": lambda text: refused(
        json.dumps({"body": "x", "expires_at": f"2026-11-21T16{text}"})
    ),
    "it is an alert's key": lambda text: refused(json.dumps({"body": "x", "key": text})),
    "it is read inside too many envelopes": lambda text: refused(in_envelopes(text[: len(text) // 8])),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("use", USES)
def test_a_text_of_twice_the_length_takes_twice_the_steps(use: str, name: str) -> None:
    counted = [steps(USES[use], shape(name, size), READING) for size in SIZES]
    assert all(larger <= 2.1 * smaller + 1000 for smaller, larger in pairwise(counted))


SIZES = [SIZE >> halvings for halvings in (7, 6, 5)]
"""8, 16 and 32 KiB, more than the longest text that is taken. Tracing more would take minutes."""


def test_what_grows_with_the_square_of_the_length_is_stopped() -> None:
    links_cut_at_their_question_mark = re.compile(r"(https?://[^\s?]+)\?\S*")
    with pytest.raises(TooManyStepsError):
        list(found(links_cut_at_their_question_mark, "http://" * 500, Counter(100 * 3500)))


@given(st.lists(st.sampled_from(["http://", "s", "&#0", "&lt", ";", "&#38;", "x", "?", " ", "0", "amp;"])).map("".join))
def test_steps_are_counted_along_what_the_patterns_really_find(text: str) -> None:
    for pattern in (alert.LINK, alert._LEADING_ZEROS, alert._BEYOND_UNICODE, html._charref):  # type: ignore[attr-defined]
        assert list(found(pattern, text, Counter(10**9))) == [each.span() for each in pattern.finditer(text)]


@given(st.text(alphabet="ae\u0301\u0327\u0308\u0344\u00e9\u1e69\u0f71\u0f72\u0f74 "))
def test_putting_marks_in_order_first_does_not_change_the_normal_form(text: str) -> None:
    assert unicodedata.normalize("NFC", reconciliation._marks_in_order(text)) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("wrap", [str, lambda text: json.dumps({"body": text})], ids=["text", "json"])
@pytest.mark.parametrize("name", [each for each in NAMES if each not in SMALL])
def test_a_hostile_message_is_refused_for_its_size_or_its_entities(name: str, wrap: object) -> None:
    with pytest.raises(Reject, match=r"including its links|HTML entities|cannot be read|as StockTwits counts") as error:
        read(wrap(shape(name, SIZE)))  # type: ignore[operator]
    assert len(error.value.reason) < 400


@pytest.mark.parametrize("unit", ["https://x/", "s3://x/", "https://", "s3://", " ", "x"])
def test_a_hostile_chart_is_refused(unit: str) -> None:
    with pytest.raises(Reject, match="chart: "):
        read(json.dumps({"body": "x", "chart": (unit * SIZE)[:SIZE]}))


def test_a_text_of_more_than_ten_thousand_characters_is_refused_even_if_it_is_one_link() -> None:
    link = "https://x.org/"
    assert read(link + "a" * (MAX_TEXT_CHARACTERS - len(link))).body.startswith(link)
    with pytest.raises(Reject, match="the body has 10001 characters including its links"):
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
    with pytest.raises(Reject, match="HTML entities are nested more than 8 levels deep"):
        read(encoded("a < b", MAX_ENTITY_LEVELS + 1))


def test_a_post_whose_entities_go_deeper_than_ours_equals_none_of_ours() -> None:
    assert normal_form(encoded("a < b", MAX_ENTITY_LEVELS + ADDED_ENTITY_LEVELS + 1)) != "a < b"


@given(st.text(alphabet="&#xX0123456789;alt mp", max_size=30))
def test_a_text_is_unescaped_as_the_standard_library_does_it_until_nothing_changes(text: str) -> None:
    plain = text
    while (once := html.unescape(plain)) != plain:
        plain = once
    assert unescaped(text, 30) == plain
