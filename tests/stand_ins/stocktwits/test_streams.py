"""Reading from the stand-in for StockTwits: streams, messages, accounts and grants."""

import re

import pytest

from tests.stand_ins.stocktwits.client import (
    Client,
    error,
)


def test_the_stream_is_newest_first_and_needs_no_token(client: Client) -> None:
    for body in ("one", "two"):
        client.post(body)
    del client.session.headers["Authorization"]
    assert [message["body"] for message in client.stream()] == ["two", "one"]


def test_the_stream_is_found_by_id_and_by_name(client: Client) -> None:
    client.post()
    assert client.stream("4242") == client.stream("relay_demo") != []


def test_an_unknown_account_has_no_stream(client: Client) -> None:
    assert error(client.get("/api/2/streams/user/nobody.json"))[0] == 404


@pytest.mark.parametrize(("query", "length"), [({}, 30), ({"limit": 2}, 2), ({"limit": 31}, 30)])
def test_the_stream_shows_thirty_at_most(client: Client, query: dict[str, int], length: int) -> None:
    for number in range(31):
        client.post(f"post {number}")
    shown = client.stream(**query)
    assert (len(shown), shown[0]["body"]) == (length, "post 30")


@pytest.mark.parametrize(("limit", "more"), [(1, True), (2, False)])
def test_the_stream_shows_whether_there_are_more_posts(client: Client, limit: int, more: bool) -> None:
    older, newer = (client.post(body).json()["message"]["id"] for body in ("one", "two"))
    cursor = client.get("/api/2/streams/user/4242.json", limit=limit).json()["cursor"]
    assert cursor == {"more": more, "since": newer, "max": newer if more else older}


def test_the_stream_shows_ids_greater_than_since(client: Client) -> None:
    first, second, third = (client.post(body).json()["message"]["id"] for body in ("one", "two", "three"))
    assert [message["id"] for message in client.stream(since=first)] == [third, second]


@pytest.mark.parametrize("query", [{"limit": "x"}, {"since": "-1"}])
def test_the_stream_refuses_an_invalid_number(client: Client, query: dict[str, str]) -> None:
    assert client.get("/api/2/streams/user/4242.json", **query).status_code == 422


def test_the_stream_shortens_links_and_encodes_entities(client: Client) -> None:
    client.post("<b> https://example.com/?a=1&b=2 & more")
    assert re.fullmatch(r"&lt;b&gt; http://stks\.co/\w{5} &amp; more", client.stream()[0]["body"])


def test_one_message_is_shown_by_its_id(client: Client) -> None:
    message = client.post().json()["message"]
    assert client.get(f"/api/2/messages/show/{message['id']}.json").json()["message"] == message


@pytest.mark.parametrize("wanted", ["1", "x"])
def test_an_unknown_message_is_not_found(client: Client, wanted: str) -> None:
    assert error(client.get(f"/api/2/messages/show/{wanted}.json"))[0] == 404


def test_a_token_is_verified_with_its_account(client: Client) -> None:
    assert client.get("/api/2/account/verify.json").json()["user"]["username"] == "relay_demo"


def test_a_wrong_token_is_refused(client: Client) -> None:
    client.session.headers["Authorization"] = "Bearer wrong"
    assert error(client.get("/api/2/account/verify.json")) == (401, "Authentication required")


@pytest.mark.parametrize(("method", "path"), [("GET", "messages/create.json"), ("GET", "nothing.json")])
def test_an_unknown_endpoint_is_not_found(client: Client, method: str, path: str) -> None:
    assert error(client.send(method, f"/api/2/{path}"))[0] == 404


GRANT = {
    "client_id": "demo-client",
    "client_secret": "demo-secret",
    "code": "demo-code",
    "grant_type": "authorization_code",
    "redirect_uri": "https://localhost/back",
}


def test_a_code_is_exchanged_for_the_token(client: Client) -> None:
    assert client.send("POST", "/api/2/oauth/token", data=GRANT).json() == {
        "user_id": 4242,
        "access_token": "demo-token",
        "scope": "read,publish_messages",
        "username": "relay_demo",
    }


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"client_id": "other"}, 401),
        ({"client_secret": "other"}, 401),
        ({"code": "other"}, 400),
        ({"grant_type": "password"}, 400),
        ({"redirect_uri": ""}, 400),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_grant_with_a_wrong_field_is_refused(client: Client, wrong: dict[str, str], status: int) -> None:
    assert error(client.send("POST", "/api/2/oauth/token", data=GRANT | wrong))[0] == status
