"""Alerts from payloads whose form their sender decides."""

import json
from typing import get_args, get_type_hints

import pytest
from relay.errors import Reject
from relay.posting.alert import Alert
from relay.posting.webhook.body_template import SENTIMENTS, Template, check, parse_maps, render


def body(template: str, payload: object) -> str:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return render(Template(body=template), text)["body"]


@pytest.mark.parametrize(
    ("template", "payload", "expected"),
    [
        ("Up {change}% ${symbol}", '{"change": 3.10, "symbol": "AAPL"}', "Up 3.10% $AAPL"),
        ("{a.b.0.c}", {"a": {"b": [{"c": "deep"}]}}, "deep"),
        ("{0.a}", [{"a": 1}], "1"),
        ("{a.b}", {"a.b": "flat", "a": {"b": "deep"}}, "flat"),
        ("{a.b.c}", {"a": {"b.c": "dots"}}, "dots"),
        ("{ Alert Name }", {"Alert Name": "x"}, "x"),
        ("{{{a}}} and }}{{", {"a": 1}, "{1} and }{"),
        ("{n}", '{"n": 12345678901234567890123.000}', "12345678901234567890123.000"),
        ("{n}", '{"n": -0.0e5}', "-0.0e5"),
        ("{yes} {no}", {"yes": True, "no": False}, "true false"),
        ("{a}", {"a": "{b}", "b": "not filled in again"}, "{b}"),
        ("{a}", {"a": "x\u2028y\u2029z"}, "x y z"),
        ("first\n{a}", {"a": "x\ny\tz\x00\x85\ud800."}, "first\nx y z   ."),
    ],
)
def test_a_placeholder_stands_for_a_value_of_the_payload(template: str, payload: object, expected: str) -> None:
    assert body(template, payload) == expected


@pytest.mark.parametrize(
    ("path", "payload"),
    [
        ("b", {"a": 1}),
        ("a.b", {"a": 1}),
        ("a.1", {"a": [0]}),
        ("a.-1", {"a": [0]}),
        ("a.x", {"a": [0]}),
        ("a.0", {"a": "text"}),
        ("a", {"a": None}),
        ("a", {"a": {}}),
        ("a", {"a": []}),
        ("a.²", {"a": [0]}),
    ],
)
def test_a_field_that_is_missing_or_no_single_value_is_named(path: str, payload: object) -> None:
    with pytest.raises(Reject) as refused:
        body(f"{{{path}}}", payload)
    assert f" {path}" in refused.value.reason


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_value_is_refused_in_the_body_since_it_would_leave_a_gap(value: str) -> None:
    with pytest.raises(Reject, match="field symbol is empty"):
        body("Up 3% ${symbol}", {"symbol": value})


@pytest.mark.parametrize(
    "payload", ["", "Up 3% $AAPL", '"text"', "5", "null", '{"a": NaN}', '{"a":', "[" * 200_000, "a=1&b=2"]
)
def test_a_payload_that_is_not_json_is_refused(payload: str) -> None:
    with pytest.raises(Reject, match="must be a JSON object"):
        body("{a}", payload)


@pytest.mark.parametrize(
    ("side", "sentiment"), [("buy", "bullish"), ("sell", "bearish"), ("flat", None), ("bearish", "bearish")]
)
def test_a_map_translates_the_values_of_the_sentiment_alone(side: str, sentiment: str | None) -> None:
    maps = parse_maps(" side:buy=bullish, side:sell=bearish,side:flat= ")
    template = Template(body="Signal {side}", sentiment="{side}", key="{side}", maps=maps)
    check(template)
    rendered = render(template, json.dumps({"side": side}))
    assert rendered.get("sentiment") == sentiment
    assert (rendered["body"], rendered["key"]) == (f"Signal {side}", side)


def test_what_the_template_does_not_have_the_message_does_not_have() -> None:
    assert render(Template(body="Up"), "{}") == {"body": "Up"}


def test_an_empty_key_is_refused_since_many_alerts_would_share_it() -> None:
    with pytest.raises(Reject, match="key that the template makes of this payload is empty"):
        render(Template(body="Up", key="{id}"), '{"id": " "}')


def test_a_text_does_not_grow_beyond_what_is_posted_anyway() -> None:
    with pytest.raises(Reject, match=r"the body .* more than 65,536 characters"):
        body("{a}" * 1000, {"a": "x" * 60_000})


@pytest.mark.parametrize(
    "text", ["{", "}", "{}", "{a", "a}", "{{a}", "{a..b}", "{.a}", "{ }", "{a{b}}", "a\x00", "\r", ""]
)
def test_a_template_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(Reject, match="the template's body"):
        check(Template(body=text))


def test_a_map_of_a_path_that_the_sentiment_does_not_have_is_refused() -> None:
    with pytest.raises(Reject, match="the map of sides is of no use"):
        check(Template(body="Up", sentiment="{side}", maps={"sides": {"buy": "bullish"}}))


@pytest.mark.parametrize(
    ("sentiment", "words"),
    [("bulish", {}), ("Bullish", {}), ("{side}", {"buy": "bulish"}), (" {side} ", {"buy": "bullish", "sell": "bear"})],
)
def test_a_sentiment_that_stocktwits_does_not_have_is_refused(sentiment: str, words: dict[str, str]) -> None:
    for good in ("", " neutral ", "{side}", "{side}ish", "bull{side}"):
        check(Template(body="Up", sentiment=good))
    with pytest.raises(Reject, match="must be one of bullish, bearish, neutral"):
        check(Template(body="Up", sentiment=sentiment, maps={"side": words} if words else {}))


def test_the_sentiments_are_those_of_an_alert() -> None:
    (choices, _) = get_args(get_args(get_type_hints(Alert, include_extras=True)["sentiment"])[0])
    assert get_args(choices) == SENTIMENTS


@pytest.mark.parametrize("words", [{"\x1b": "bullish"}, {"buy": "\ud800"}])
def test_a_map_with_a_control_character_is_refused(words: dict[str, str]) -> None:
    with pytest.raises(Reject, match="the template's map has a control character"):
        check(Template(body="Up", sentiment="{side}", maps={"side": words}))


@pytest.mark.parametrize("text", ["side", "side:buy", "buy=bullish", "{side}:buy=bullish", ":buy=bullish"])
def test_maps_that_are_written_otherwise_are_refused(text: str) -> None:
    with pytest.raises(Reject, match="side:buy=bullish"):
        parse_maps(text)
