"""How the stand-in for StockTwits shows posts where its documentation does not say so, over real HTTP."""

from typing import Any

import pytest

from local.stand_ins.stocktwits.contrary import ODD_IDS
from local.stand_ins.stocktwits.server import StandIn
from tests.stand_ins.stocktwits.client import GIF, STREAM, Client, Clock, bodies


def test_an_id_can_be_text(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("id-text")
    assert client.post().json()["message"]["id"] == str(stand_in.posts[0].id)
    assert client.stream()[0]["id"] == stand_in.posts[0].id


def test_an_id_can_be_text_everywhere(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("id-text", everywhere=True)
    message = client.post().json()["message"]
    assert message["id"] == client.stream()[0]["id"] == str(stand_in.posts[0].id)
    assert client.get(f"/api/2/messages/show/{message['id']}.json").json()["message"] == message


@pytest.mark.parametrize("path", ["messages/create", "streams/user"])
def test_an_id_can_be_missing(client: Client, stand_in: StandIn, path: str) -> None:
    stand_in.fail("id-missing", path=path)
    created, listed = client.post().json()["message"], client.stream()[0]
    assert ("id" in created, "id" in listed) == (path != "messages/create", path == "messages/create")
    assert bodies(stand_in) == ["hello"]


@pytest.mark.parametrize("value", [*ODD_IDS, "61042991"], ids=repr)
@pytest.mark.parametrize("path", ["messages/create", "streams/user"])
def test_an_id_can_be_anything(client: Client, stand_in: StandIn, path: str, value: object) -> None:
    stand_in.fail("id-odd", value=value, path=path)
    created, listed = client.post().json()["message"]["id"], client.stream()[0]["id"]
    odd, right = (created, listed) if path == "messages/create" else (listed, created)
    assert (odd, right) == (value, stand_in.posts[0].id)


def test_an_id_can_be_that_of_another_post(client: Client, stand_in: StandIn) -> None:
    client.post("one")
    stand_in.fail("id-of-another")
    assert client.post("two").json()["message"]["id"] == stand_in.posts[0].id
    assert client.stream()[0]["id"] == stand_in.posts[1].id


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("null", None),
        ("empty", ""),
        ("word", "just now"),
        ("zone", "2027-01-15T03:00:00-05:00"),
        ("fraction", "2027-01-15T08:00:00.123Z"),
        ("space", "2027-01-15 08:00:00 +0000"),
        ("http-date", "Fri, 15 Jan 2027 08:00:00 GMT"),
        ("epoch", 1_800_000_000),
    ],
)
def test_the_time_of_a_post_can_have_any_form(client: Client, stand_in: StandIn, form: str, value: object) -> None:
    stand_in.fail("created-at", form=form)
    assert client.post().json()["message"]["created_at"] == value
    assert client.stream()[0]["created_at"] == value


def test_the_time_of_a_post_can_be_missing(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("created-at", path=STREAM)
    assert "created_at" in client.post().json()["message"]
    assert "created_at" not in client.stream()[0]


def test_a_post_can_be_shown_without_its_chart(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("chart-missing")
    assert client.upload(GIF).json()["message"]["entities"] == {"sentiment": None}
    assert client.stream()[0]["entities"] == {"sentiment": None}


@pytest.mark.parametrize(
    ("form", "entities"),
    [("missing", {}), ("other", {"sentiment": {"basic": "Bearish"}}), ("no-entities", None)],
)
def test_a_post_can_be_shown_without_its_sentiment_or_with_another(
    client: Client, stand_in: StandIn, form: str, entities: dict[str, Any] | None
) -> None:
    stand_in.fail("sentiment", form=form)
    assert client.post(sentiment="bullish").json()["message"].get("entities") == entities
    assert client.stream()[0].get("entities") == entities


def test_a_post_can_be_shown_late(client: Client, stand_in: StandIn, clock: Clock) -> None:
    stand_in.fail("lag", text="$AAPL", seconds=120)
    late = client.post("$AAPL").json()["message"]["id"]
    client.post("$MSFT")
    clock.now += 119
    assert [message["body"] for message in client.stream()] == ["$MSFT"]
    assert client.get(f"/api/2/messages/show/{late}.json").status_code == 404
    clock.now += 1
    assert [message["body"] for message in client.stream()] == ["$MSFT", "$AAPL"]


def test_every_post_can_be_shown_late(client: Client, stand_in: StandIn, clock: Clock) -> None:
    stand_in.configure(stream_lag_seconds=60)
    client.post()
    assert client.stream() == []
    clock.now += 60
    assert len(client.stream()) == 1


@pytest.mark.parametrize(("when", "order"), [("before", ["by hand", "$AAPL"]), ("after", ["$AAPL", "by hand"])])
def test_somebody_else_can_post_in_between(client: Client, stand_in: StandIn, when: str, order: list[str]) -> None:
    stand_in.fail("foreign-post", when=when, body="by hand", source="Another tool")
    own = client.post("$AAPL").json()["message"]
    assert bodies(stand_in) == order
    sources = {message["body"]: message["source"]["title"] for message in client.stream()}
    assert sources == {"$AAPL": own["source"]["title"], "by hand": "Another tool"}


def test_somebody_elses_post_has_a_text_of_its_own(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("foreign-post", times=2)
    for text in ("$AAPL", "$MSFT"):
        client.post(text)
    assert len(set(bodies(stand_in))) == 4


def test_somebody_elses_post_can_make_ours_a_duplicate(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("foreign-post", when="before", body="$AAPL up")
    assert client.post("$AAPL up").status_code == 422
    assert bodies(stand_in) == ["$AAPL up"]


def test_what_was_done_to_a_post_is_described(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("rendered", rendering="note")
    stand_in.fail("created-at")
    stand_in.fail("lag", seconds=5)
    stand_in.fail("foreign-post", when="before", body="by hand")
    for number in range(4):
        client.post(f"{number}")
    told = client.get("/_standin/posts").json()
    unusual = [
        {key: each[key] for key in ("renderings", "alterations", "lag_seconds", "source") if key in each}
        for each in told
    ]
    assert unusual == [
        {"renderings": ["note"]},
        {"alterations": 1},
        {"lag_seconds": 5},
        {"source": "StockTwits Web"},
        {},
    ]
