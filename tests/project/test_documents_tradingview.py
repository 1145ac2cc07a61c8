"""The texts of docs/tradingview.md, filled in as TradingView does, are alerts that the relay posts."""

import json
import re
import shlex

import pytest
from relay.errors import Reject
from relay.posting.webhook.body_template import Template, check, parse_maps
from relay.posting.webhook.message import compose
from relay.posting.webhook.sources import Source, new_source

from local.build import ROOT

PAGE = (ROOT / "docs" / "tradingview.md").read_text()
NOW = 1_800_000_000.0
FILLED = {
    "ticker": "AAPL",
    "close": "182.4",
    "time": "2026-11-27T14:30:00Z",
    "timenow": "2026-11-27T14:30:07Z",
    "strategy.order.id": "Long Entry",
    "strategy.order.action": "buy",
    "strategy.order.price": "182.4",
}


def pasted(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def filled(text: str) -> str:
    return re.sub(r"\{\{([\w.]+)\}\}", lambda found: FILLED[found[1]], text)


def options(name: str) -> dict[str, str]:
    """Return the options with which a source is added."""
    command, *_ = re.findall(rf"^relay webhook add {name} ((?:.*\\\n)*.*)$", PAGE, re.MULTILINE)
    words = shlex.split(command.replace("\\\n", " "))
    return dict(zip(words[::2], words[1::2], strict=True))


def source(name: str) -> Source:
    given = options(name)
    template = None
    if "--body" in given:
        maps = parse_maps(given["--map"])
        template = Template(body=given["--body"], sentiment=given["--sentiment"], key=given["--key"], maps=maps)
        check(template)
    return new_source("secret", added="2026-11-27", addresses=given["--allow"].split(","), template=template)


TEXT = pasted("text")[0]
JSON, STRATEGY = pasted("json")


def test_the_text_is_posted_with_its_cashtag() -> None:
    assert compose("tradingview", source("tradingview"), filled(TEXT), NOW).alert.body == (
        "$AAPL closes above its 50-day average at 182.4"
    )


def test_the_json_has_its_own_sentiment_and_a_key_for_each_bar() -> None:
    made = compose("tradingview", source("tradingview"), filled(JSON), NOW)
    assert (made.alert.sentiment, made.key) == ("bullish", "above-50-AAPL-2026-11-27T14:30:00Z")


def test_a_strategys_alert_is_filled_into_its_template() -> None:
    made = compose("strategy", source("strategy"), filled(STRATEGY), NOW)
    assert (made.alert.body, made.alert.sentiment) == ("Long Entry $AAPL at 182.4", "bullish")
    sold = filled(STRATEGY).replace('"buy"', '"sell"')
    assert compose("strategy", source("strategy"), sold, NOW).alert.sentiment == "bearish"


@pytest.mark.parametrize(
    "text",
    [TEXT, TEXT.replace("{{ticker}}", "AAPL"), JSON.replace(",\n", "\n", 1), JSON.replace("{{time}}", "{{tme}}")],
)
def test_what_tradingview_did_not_fill_in_or_was_pasted_in_part_is_refused(text: str) -> None:
    with pytest.raises(Reject):
        compose("tradingview", source("tradingview"), text, NOW)


def test_each_source_of_tradingview_is_limited_to_its_four_addresses() -> None:
    assert source("tradingview").addresses == source("strategy").addresses
    assert len(source("tradingview").addresses) == 4


def test_a_json_alert_has_only_fields_of_a_message() -> None:
    schema = json.loads((ROOT / "docs" / "message.schema.json").read_text())
    assert set(json.loads(filled(JSON))) <= set(schema["properties"])
