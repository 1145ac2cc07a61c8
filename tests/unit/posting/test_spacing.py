"""What a post takes before it is sent: the cashtags of its text, and a fingerprint of what else its text says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.posting.spacing import MAX_NAMES, Spacing, cashtags, fingerprint

from local.stand_ins.stocktwits.rendering import CASHTAG, LINK


def spacing(alike_seconds: float = 60, symbol_seconds: float = 60) -> Spacing:
    """The rules without a table: no name is looked up."""
    table: object = None
    return Spacing(table, "ledger", lambda: 0.0, alike_seconds=alike_seconds, symbol_seconds=symbol_seconds)  # type: ignore[arg-type]


# Symbols


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$AAPL up", ["AAPL"]),
        ("up: $AAPL", ["AAPL"]),
        ("$AAPL, $TSLA and $NVDA.", ["AAPL", "TSLA", "NVDA"]),
        ("$AAPL\n$TSLA", ["AAPL", "TSLA"]),
        ("$aapl up", ["AAPL"]),
        ("$Aapl, then $AAPL", ["AAPL"]),
        ("$BRK.B up", ["BRK.B"]),
        ("$brk.b up", ["BRK.B"]),
        ("$BTC.X up", ["BTC.X"]),
        ("$ES_F up", ["ES_F"]),
        ("$C3 up", ["C3"]),
        ("$AAPL's", ["AAPL"]),
        ("($AAPL)", ["AAPL"]),
        ("$AAPL... $AAPL.", ["AAPL"]),
        ("$AAPL.Breakout", ["AAPL"]),
        ("&#36;AAPL up", ["AAPL"]),
        ("&amp;#36;AAPL up", ["AAPL"]),
        ("R&amp;D at $AAPL", ["AAPL"]),
        ("$A$B", ["A", "B"]),
        ("US$AAPL", ["AAPL"]),
        ("at $5 and $50USD and $1.2B", []),
        ("AAPL, #AAPL, @AAPL and $ AAPL", []),
        ("https://charts.example/$AAPL", []),
        ("HTTPS://charts.example/?symbol=$AAPL $TSLA", ["TSLA"]),
        ("$\u0410\u0410PL", []),
        ("", []),
    ],
)
def test_the_symbols_of_a_text_are_those_of_its_cashtags_in_capitals(text: str, found: list[str]) -> None:
    assert cashtags(text) == found


@given(st.text("aZ9$._ :/-\n&;#36h", max_size=30) | st.text(max_size=30))
def test_no_cashtag_that_stocktwits_links_is_overlooked(text: str) -> None:
    linked = {each.upper() for each in CASHTAG.findall(LINK.sub(" ", text))}
    found = {each.upper() for each in cashtags(text)}
    assert linked <= found


# Texts that are alike


@pytest.mark.parametrize(
    "other",
    [
        "$TSLA crosses 300",
        "$AAPL crosses 301.50",
        "$AAPL crosses $1,300",
        "$AAPL crosses +3.5%",
        "$AAPL $TSLA crosses 300",
        "crosses 300",
        "$aapl CROSSES 300",
        "  $AAPL\n crosses\t300 ",
        "$AAPL crosses 300!",
        "$AAPL: crosses 300 ...",
        "&#36;AAPL crosses 300",
        "$AAPL&nbsp;crosses 300",
        "$AAPL crosses 300 https://charts.example/7",
        "$AAPL crosses 300 HTTP://charts.example/a-page?about=apples",
        "$AAPL crosses \u0663\u0660\u0660",
        "$AAPL crosses \u00bd",
        "$AAPL crosses 300k",
    ],
)
def test_texts_are_alike_that_differ_in_cashtags_numbers_links_capitals_spaces_and_marks(other: str) -> None:
    assert fingerprint(other) == fingerprint("$AAPL crosses 300")


@pytest.mark.parametrize(
    "other",
    ["$AAPL crosses below 300", "$AAPL touches 300", "300 $AAPL", "$AAPL crosses crosses 300", "AAPL crosses 300", ""],
)
def test_texts_with_other_words_are_not_alike(other: str) -> None:
    assert fingerprint(other) != fingerprint("$AAPL crosses 300")


def test_texts_with_the_same_words_in_another_order_are_not_alike() -> None:
    assert fingerprint("buy or sell") != fingerprint("sell or buy")


@pytest.mark.parametrize(("one", "other"), [("\U0001f680", "\U0001f43b"), ("\U0001f680", "$AAPL 300")])
def test_texts_without_words_differ_by_their_pictures(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(f"$AAPL {one} 300!") == fingerprint(one)


@pytest.mark.parametrize(
    ("one", "other"), [("Stra\u00dfe", "STRASSE"), ("\u00e9t\u00e9", "\u00c9T\u00c9"), ("&eacute;", "\u00e9")]
)
def test_capitals_and_entities_of_every_language_make_no_difference(one: str, other: str) -> None:
    assert fingerprint(one) == fingerprint(other)


WORDS = st.lists(st.sampled_from(["up", "Down", "300", "\U0001f680", "$5k", "R&amp;D"]), max_size=4)
TAGS = st.lists(st.sampled_from(["$AAPL", "$tsla", "$BRK.B", "$ES_F"]), max_size=3)


@given(WORDS, TAGS, TAGS, st.data())
def test_what_stocktwits_takes_for_nearly_identical_is_alike(
    words: list[str], some: list[str], others: list[str], data: st.DataObject
) -> None:
    one, other = (" ".join(data.draw(st.permutations([*words, *tags]))) for tags in (some, others))
    if CASHTAG.sub("", one).split() == CASHTAG.sub("", other).split():
        assert fingerprint(one) == fingerprint(other)


# Names


def test_each_rule_has_its_own_names() -> None:
    text = "$AAPL and $TSLA up"
    alike = f"alike#{fingerprint(text)}"
    assert spacing().names(text) == [alike, "$AAPL", "$TSLA"]
    assert spacing(alike_seconds=0).names(text) == ["$AAPL", "$TSLA"]
    assert spacing(symbol_seconds=0).names(text) == [alike]


def test_a_text_without_cashtags_takes_no_symbol() -> None:
    assert spacing(alike_seconds=0).names("the market is up") == []


def test_a_text_takes_no_more_names_than_one_transaction_and_one_reading_have_place_for() -> None:
    tags = " ".join(f"${first}{second}" for first in "ABCDEFGHIJKLMN" for second in "ABCDEFGHIJ")
    most_of_dynamodb, own_entry = 100, 1
    assert len(spacing().names(tags)) == MAX_NAMES == most_of_dynamodb - own_entry
