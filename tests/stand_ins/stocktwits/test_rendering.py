"""How the stand-in for StockTwits alters the text of a post, over real HTTP."""

import re

import pytest

from local.stand_ins.stocktwits.rendering import NOTE, WORDS, Rendering
from local.stand_ins.stocktwits.server import StandIn
from tests.stand_ins.stocktwits.client import CREATE, STREAM, Client, bodies

SHORTENED = r"stks\.co/\w{5}"


def shown(client: Client, stand_in: StandIn, text: str, *renderings: str) -> str:
    """Return how a text is shown, which must be the same in every answer."""
    stand_in.configure(renderings=renderings)
    message = client.post(text).json()["message"]
    alone = client.get(f"/api/2/messages/show/{message['id']}.json").json()["message"]
    assert [message] == [alone] == client.stream(limit=1)
    body: str = message["body"]
    return body


@pytest.mark.parametrize(
    ("rendering", "sent", "shows"),
    [
        ("linkified", "see example.com/a $AAPL", "see http://example.com/a $AAPL"),
        (
            "linkified",
            "3.5 to BRK.B, https://a.b/c.com me@example.com",
            "3.5 to BRK.B, https://a.b/c.com me@example.com",
        ),
        ("links-whole", "https://example.com/a?b=1", "https://example.com/a?b=1"),
        ("tracking-added", "http://a.b/c", "http://a.b/c?utm_source=stocktwits"),
        ("tracking-added", "http://a.b/?q=1", "http://a.b/?q=1&amp;utm_source=stocktwits"),
        ("tracking-removed", "http://a.b/?q=1&utm_source=x&utm_medium=y", "http://a.b/?q=1"),
        ("tracking-removed", "http://a.b/?utm_source=x&q=1", "http://a.b/?q=1"),
        ("tracking-removed", "http://a.b/?utm_source=x", "http://a.b/"),
        ("invisible-removed", "a\u200bb\ufeff\u00ad\u2060\u2764\ufe0f", "ab\u2764"),
        ("cashtags-upper", "$aapl and $brk.b for $5k", "$AAPL and $BRK.B for $5k"),
        (
            "typographic",
            "\"It's\" 'up' - now -- so...",
            "\u201cIt\u2019s\u201d \u2018up\u2019 \u2013 now \u2014 so\u2026",
        ),
        ("typewritten", "\u201cIt\u2019s\u201d \u2013 now \u2014 so\u2026", '"It\'s" - now -- so...'),
        ("nfc", "e\u0301", "\u00e9"),
        ("nfd", "\u00e9", "e\u0301"),
        ("width-folded", "\uff21\uff21\uff30\uff2c\u3000\uff15\uff05", "AAPL 5%"),
        ("emoji-removed", "up 🚀👍🏽 now ❤️.", "up  now ."),
        ("emoji-named", "up 🚀", "up :rocket:"),
        ("space-collapsed", " a \n\n b\t c ", "a b c"),
        ("truncated", "abcdef", "abcd…"),
        ("note", "up", f"up{NOTE}"),
        ("entities-twice", "a & <b>", "a &amp;amp; &amp;lt;b&amp;gt;"),
    ],
)
def test_a_rendering_alters_a_text_in_every_answer(
    client: Client, stand_in: StandIn, rendering: str, sent: str, shows: str
) -> None:
    assert shown(client, stand_in, sent, rendering) == shows
    assert bodies(stand_in) == [sent]


@pytest.mark.parametrize(
    ("rendering", "sent", "shows"),
    [
        ("linkified-shortened", "see example.com/a", f"see http://{SHORTENED}"),
        ("links-bare", "http://example.com/a", SHORTENED),
        ("links-https", "http://example.com/a", f"https://{SHORTENED}"),
    ],
)
def test_links_are_shortened_in_several_ways(
    client: Client, stand_in: StandIn, rendering: str, sent: str, shows: str
) -> None:
    assert re.fullmatch(shows, shown(client, stand_in, sent, rendering))


def test_renderings_add_up(client: Client, stand_in: StandIn) -> None:
    assert shown(client, stand_in, "$aapl  up", "space-collapsed", "cashtags-upper", "note") == f"$AAPL up{NOTE}"


def test_a_rendering_can_be_planned_for_a_text(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("rendered", text="$AAPL", rendering="note")
    assert client.post("$MSFT").json()["message"]["body"] == "$MSFT"
    assert client.post("$AAPL").json()["message"]["body"] == f"$AAPL{NOTE}"
    assert [message["body"] for message in client.stream()] == [f"$AAPL{NOTE}", "$MSFT"]


def test_a_rendering_can_be_planned_for_the_stream_alone(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("rendered", path=STREAM, text="$AAPL", rendering="note", times=None)
    assert [client.post(each).json()["message"]["body"] for each in ("$AAPL", "$MSFT")] == ["$AAPL", "$MSFT"]
    assert [message["body"] for message in client.stream()] == ["$MSFT", f"$AAPL{NOTE}"]


def test_a_rendering_can_be_planned_for_the_answer_alone(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("rendered", path=CREATE, rendering="note", everywhere=False)
    assert client.post("$AAPL").json()["message"]["body"] == f"$AAPL{NOTE}"
    assert client.stream()[0]["body"] == "$AAPL"


def test_an_unknown_rendering_is_refused(client: Client, stand_in: StandIn) -> None:
    assert client.control("settings", renderings=["mirrored"]).status_code == 400
    assert client.control("faults", fault="rendered", rendering="mirrored").status_code == 400
    assert stand_in.renderings == ()


def test_each_rendering_is_described() -> None:
    assert WORDS.keys() == set(Rendering)
