"""What may be in the Outbox, and how StockTwits counts it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.errors import Reject
from relay.posting.alert import count_characters, read, shown, without_queries

from tests.factories import an_alert


def sns(inner: object, **but: object) -> dict[str, object]:
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:1:alerts", "Message": inner, **but}


def eventbridge(detail: object) -> dict[str, object]:
    return {"detail-type": "Alert", "source": "my.scanner", "detail": detail}


def reason(body: str) -> str:
    with pytest.raises(Reject) as refused:
        read(body)
    return refused.value.reason


def test_a_text_is_the_body() -> None:
    assert read("$AAPL up") == an_alert("$AAPL up")


def test_white_space_around_a_text_is_removed_and_within_it_is_kept() -> None:
    assert read(" $AAPL\n\tup \n").body == "$AAPL\n\tup"


def test_white_space_around_a_json_body_is_removed() -> None:
    assert read('{"body": " $AAPL up\\n"}').body == "$AAPL up"


def test_a_json_object_may_have_every_field_of_an_alert() -> None:
    fields = {
        "body": "$AAPL up",
        "sentiment": "bullish",
        "in_reply_to_message_id": 7,
        "chart": "s3://charts/a b.png",
        "key": "k-1",
        "expires_at": "2026-11-21T16:00:00+01:00",
    }
    moment = datetime(2026, 11, 21, 15, tzinfo=UTC)
    assert read(json.dumps(fields)) == an_alert(**{**fields, "expires_at": moment})


def test_a_field_that_is_null_is_a_field_left_out() -> None:
    rest = dict.fromkeys(("sentiment", "in_reply_to_message_id", "chart", "key", "expires_at"))
    assert read(json.dumps({"body": "x", **rest})) == an_alert("x")


@pytest.mark.parametrize("text", ["[BREAKING] $AAPL up", '"AAPL" up', "5 reasons", "1e999", "nullable", "$AAPL {x}"])
def test_a_text_that_only_begins_like_json_is_a_text(text: str) -> None:
    assert read(text).body == text


@pytest.mark.parametrize(
    ("text", "kind"), [('"up"', "string"), ("5", "number"), ("[1]", "list"), ("null", "null"), ("true", "boolean")]
)
def test_json_that_is_not_an_object_is_refused_by_its_kind(text: str, kind: str) -> None:
    assert f"is JSON, but a {kind}" in reason(text)


def test_a_broken_json_object_is_never_posted_as_text() -> None:
    assert "begins like a JSON object" in reason('{"body": "x"')


@pytest.mark.parametrize("inner", ['{"body": "x", "key": "k"}', '\n{"body": "x", "key": "k"}'])
def test_a_byte_order_mark_does_not_turn_json_into_a_text(inner: str) -> None:
    assert read("\ufeff" + inner) == an_alert("x", key="k")


@pytest.mark.parametrize("body", ["", " \n\t", "\ufeff"])
def test_an_empty_message_is_refused(body: str) -> None:
    assert reason(body) == "the message is empty"


@pytest.mark.parametrize("nested", ["[" * 100_000, '{"a":' * 100_000])
def test_json_that_is_nested_too_deeply_is_refused(nested: str) -> None:
    assert "nested too deeply" in reason(nested)


@pytest.mark.parametrize("inner", ["$AAPL up", '{"body": "$AAPL up"}'])
@pytest.mark.parametrize("wrap", [sns, eventbridge, lambda inner: sns(json.dumps(eventbridge(inner)))])
def test_an_alert_may_come_inside_an_envelope(wrap: Any, inner: str) -> None:
    assert read(json.dumps(wrap(inner))) == an_alert("$AAPL up")


def test_an_eventbridge_detail_may_be_the_object_itself() -> None:
    assert read(json.dumps(eventbridge({"body": "x", "in_reply_to_message_id": 2**63 - 1}))) == an_alert(
        "x", in_reply_to_message_id=2**63 - 1
    )


def test_three_envelopes_are_opened_and_a_fourth_is_refused() -> None:
    three = "x"
    for _ in range(3):
        three = json.dumps(sns(three))
    assert read(three).body == "x"
    assert "more than 3 envelopes" in reason(json.dumps(sns(three)))


@pytest.mark.parametrize("lone", [{"Type": "Notification"}, {"TopicArn": "a"}, {"detail-type": "a"}, {"source": "a"}])
def test_one_of_the_two_fields_of_an_envelope_does_not_make_one(lone: dict[str, str]) -> None:
    (name,) = lone
    assert reason(json.dumps({"body": "x", "Message": "y", "detail": "y"} | lone)) in {
        f"the message is not valid: Object contains unknown field `{each}`" for each in ("Message", "detail", name)
    }


def test_what_is_inside_an_envelope_is_checked_as_strictly() -> None:
    assert "unknown field `boddy`" in reason(json.dumps(sns('{"body": "x", "boddy": 1}')))


def test_the_confirmation_of_an_sns_subscription_is_refused() -> None:
    assert "an SNS SubscriptionConfirmation" in reason(json.dumps(sns("x", Type="SubscriptionConfirmation")))


@pytest.mark.parametrize("wrap", [sns, eventbridge])
@pytest.mark.parametrize("inner", ["", None, {}])
def test_an_empty_envelope_is_refused(wrap: Any, inner: object) -> None:
    assert "is empty" in reason(json.dumps(wrap(inner)))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text": "x"}, "unknown field `text`"),
        ({"body": None}, "body: Expected `str`, got `null`"),
        ({"body": 5}, "body: Expected `str`, got `int`"),
        ({"body": " "}, "body: is empty"),
        ({"sentiment": "Bullish"}, "sentiment: Invalid enum value 'Bullish'"),
        ({"in_reply_to_message_id": 0}, "in_reply_to_message_id: Expected `int` >= 1"),
        ({"in_reply_to_message_id": 2**63}, "in_reply_to_message_id: Expected `int` <="),
        ({"in_reply_to_message_id": "7"}, "in_reply_to_message_id: Expected `int | null`"),
        ({"in_reply_to_message_id": True}, "in_reply_to_message_id: Expected `int | null`"),
        ({"in_reply_to_message_id": 1.0}, "in_reply_to_message_id: Expected `int | null`"),
        ({"chart": "http://example.com/c.png"}, "chart: must be an https:// URL, or s3://bucket/key"),
        ({"chart": "https://example.com"}, "chart: must be an https:// URL, or s3://bucket/key"),
        ({"chart": "https://example.com/c d.png"}, "chart: must be an https:// URL, or s3://bucket/key"),
        ({"chart": "https://example.com/c.png\n"}, "chart: must be an https:// URL, or s3://bucket/key"),
        ({"chart": "s3://charts/"}, "chart: must be an https:// URL, or s3://bucket/key"),
        ({"chart": "file:///etc/passwd"}, "chart: must be an https:// URL, or s3://bucket/key"),
        ({"chart": "https://example.com/" + "c" * 2000}, "chart: Expected `str` of length <= 2000"),
        ({"chart": 7}, "chart: Expected `str | null`"),
        ({"key": ""}, "key: Expected `str` of length >= 1"),
        ({"key": "k" * 257}, "key: Expected `str` of length <= 256"),
        ({"key": 7}, "key: Expected `str | null`"),
        ({"expires_at": "2026-11-21T16:00:00"}, "expires_at: must be ISO 8601 with a zone"),
        ({"expires_at": "tomorrow"}, "expires_at: must be ISO 8601 with a zone"),
        ({"expires_at": 1_800_000_000}, "expires_at: Expected `datetime | null`, got `int`"),
    ],
)
def test_a_field_that_is_wrong_is_refused_by_its_name(fields: dict[str, object], words: str) -> None:
    assert words in reason(json.dumps({"body": "x", **fields}))


@pytest.mark.parametrize(
    "fields",
    [
        {"body": "x", "\0\n\x1b\u202e" + "x" * 1_000_000: 1},
        {"body": "x", "sentiment": "\0" * 1_000_000},
        sns("x", Type="\0\n" * 1_000_000),
        sns("x", Type=["\0\n" * 1_000_000]),
    ],
)
def test_what_a_reason_quotes_is_cut_short_and_printable(fields: dict[str, object]) -> None:
    quoting = reason(json.dumps(fields))
    assert len(quoting) < 300
    assert quoting.isprintable()


def test_a_place_that_is_nested_deeply_is_cut_short_too() -> None:
    assert len(reason('{"body":' + '{"a":[' * 400 + "x")) < 300


def test_a_megabyte_is_refused_for_its_length_before_its_characters_are_checked() -> None:
    assert "has 1048576 characters" in reason("\0" * 1024 * 1024)


def test_an_object_without_a_body_is_refused() -> None:
    assert "missing required field `body`" in reason("{}")


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\x85"])
@pytest.mark.parametrize("field", ["body", "key", "chart"])
def test_a_control_character_is_refused_by_its_place(field: str, character: str) -> None:
    fields = {"body": "x", field: f"s3://b/a{character}y"}
    assert f"{field}: has the control character U+{ord(character):04X} at position 9" in reason(json.dumps(fields))


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "a\r\nb", "\U0001f680", "\u00e9", "\u202ea"])
def test_characters_that_people_type_are_not_refused_as_control_characters(text: str) -> None:
    assert read(text).body == text


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("$AAPL", 5),
        ("\U0001f680", 1),
        ("&", 1),
        ("<b>", 9),
        ("https://example.com/a-very-long-path-indeed", 23),
        ("http://a.b", 23),
        ("HTTPS://A.B/<x>", 23),
        ("see https://a.b/c, or\nhttp://d.e", 4 + 23 + 4 + 23),
        ("ftp://a.b", 9),
    ],
)
def test_stocktwits_counts_links_and_angle_brackets_in_its_own_way(text: str, characters: int) -> None:
    assert count_characters(text) == characters


@pytest.mark.parametrize(
    "body", ["x" * 1000, "<" * 250, "x" * 976 + " https://a.b/" + "c" * 500, "x" * 999 + "\U0001f680"]
)
def test_a_thousand_characters_are_allowed_and_one_more_is_refused(body: str) -> None:
    assert read(body).body == body
    assert "has 1001 characters" in reason("x" + body)


@pytest.mark.parametrize("chart", ["https://example.com/c.png", "s3://charts/c.png"])
def test_a_chart_counts_as_characters_of_the_body(chart: str) -> None:
    assert read(json.dumps({"body": "x" * 976, "chart": chart})).chart == chart
    assert "has 1001 characters" in reason(json.dumps({"body": "x" * 977, "chart": chart}))


def test_the_length_is_that_of_the_trimmed_body() -> None:
    assert len(read(json.dumps({"body": " " + "x" * 1000})).body) == 1000


def test_a_key_of_256_characters_is_allowed() -> None:
    assert read(json.dumps({"body": "x", "key": "\U0001f680" * 256})).key == "\U0001f680" * 256


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
fields = ("body", "sentiment", "in_reply_to_message_id", "chart", "key", "expires_at", "detail", "Message", "x")
objects = st.dictionaries(st.sampled_from(fields), json_values).map(
    lambda inner: inner | ({"detail-type": "a", "source": "b"} if "detail" in inner else {})
)


@given(st.text() | objects.map(json.dumps) | st.text().map(lambda text: json.dumps(sns(text))))
def test_whatever_is_in_the_queue_is_an_alert_within_the_limit_or_refused(body: str) -> None:
    try:
        alert = read(body)
    except Reject as refused:
        assert refused.reason  # noqa: PT017 - either way out is right
    else:
        assert alert.body.strip()
        assert count_characters(alert.body) + (24 if alert.chart else 0) <= 1000


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("no link? none", "no link? none"),
        ("https://x.org/a", "https://x.org/a"),
        ("https://x.org/a?b=c", "https://x.org/a?…"),
        ("HTTPS://x.org?b=c&d=https://y.org?e and more", "HTTPS://x.org?… and more"),
        ("http://x.org/?a http://y.org/?b", "http://x.org/?… http://y.org/?…"),
        ("https://x.org/? up", "https://x.org/? up"),
    ],
)
def test_what_follows_a_links_question_mark_is_not_shown(text: str, cut: str) -> None:
    assert without_queries(text) == shown(text) == cut


def test_a_text_is_shown_up_to_its_thousandth_character() -> None:
    long = "https://x.org/" + "a" * 2000
    assert shown(long) == long[:1000]


def test_a_link_is_cut_before_the_text_is_so_that_half_a_secret_is_not_shown() -> None:
    assert shown("x" * 990 + "https://x.org/?secret") == "x" * 990 + "https://x."
