"""Pages of the stand-in's stream, as documented with `max`, and otherwise; over real HTTP."""

from typing import Any

import pytest

from local.stand_ins.stocktwits.server import StandIn
from tests.stand_ins.stocktwits.client import STREAM, Client, Clock, page, texts


@pytest.fixture
def ids(client: Client, stand_in: StandIn) -> list[int]:
    """The ids of ten posts, newest first."""
    for number in range(10):
        client.post(f"post {number}")
    return [post.id for post in reversed(stand_in.posts)]


def shown(messages: list[Any]) -> list[int]:
    return [message["id"] for message in messages]


def pages(client: Client, limit: int, most: int = 100) -> list[list[int]]:
    """Return the ids of each page, as the cursors lead from one to the next."""
    found: list[list[int]] = []
    query: dict[str, object] = {"limit": limit}
    while len(found) < most:
        answer = page(client, **query)
        found.append(shown(answer["messages"]))
        if not answer["cursor"]["more"]:
            break
        query["max"] = answer["cursor"]["max"]
    return found


def test_max_shows_ids_up_to_and_including_it(client: Client, ids: list[int]) -> None:
    assert shown(client.stream(max=ids[3])) == ids[3:]
    assert shown(client.stream(max=ids[3], since=ids[6])) == ids[3:6]


def test_cursors_lead_through_the_stream(client: Client, ids: list[int]) -> None:
    assert pages(client, 4) == [ids[:4], ids[3:7], ids[6:]]


def test_the_stream_refuses_an_invalid_max(client: Client) -> None:
    assert client.get("/api/2/streams/user/4242.json", max="x").status_code == 422


def test_a_page_before_the_first_post_is_empty(client: Client, ids: list[int]) -> None:
    answer = page(client, max=ids[-1] - 1)
    assert (answer["messages"], answer["cursor"]) == ([], {"more": False, "since": None, "max": None})


def test_eight_hundred_posts_can_be_reached(client: Client, stand_in: StandIn) -> None:
    made = [stand_in.api.post_by_hand(f"post {number}") for number in range(802)]
    reached = {each for found in pages(client, 30) for each in found}
    assert reached == {post.id for post in made[2:]}
    beyond = client.get("/api/2/streams/user/4242.json", max=made[1].id)
    assert (beyond.status_code, beyond.json()["messages"]) == (200, [])


def test_max_can_be_ignored(client: Client, stand_in: StandIn, ids: list[int]) -> None:
    stand_in.fail("max-ignored", times=None)
    assert pages(client, 4, most=3) == [ids[:4]] * 3


def test_a_page_can_be_in_no_order(client: Client, stand_in: StandIn, ids: list[int]) -> None:
    stand_in.fail("shuffled")
    assert shown(client.stream()) != ids
    stand_in.fail("shuffled")
    assert sorted(shown(client.stream()), reverse=True) == ids == shown(client.stream())


@pytest.mark.parametrize("count", [1, 3])
def test_old_posts_can_be_pinned_in_front_of_each_page(
    client: Client, stand_in: StandIn, ids: list[int], count: int
) -> None:
    stand_in.fail("pinned", count=count, times=None)
    pinned = ids[::-1][:count]
    assert pages(client, 4) == [[*pinned, *ids[:4]], [*pinned, *ids[3:7]], [*pinned, *ids[6:]]]


def test_old_posts_can_be_pinned_in_front_of_the_first_page_alone(
    client: Client, stand_in: StandIn, ids: list[int]
) -> None:
    stand_in.fail("pinned", every=False, times=None)
    assert pages(client, 5) == [[ids[-1], *ids[:5]], ids[4:9], ids[8:]]


def test_a_page_can_be_short_and_leave_the_rest_to_the_next(client: Client, stand_in: StandIn, ids: list[int]) -> None:
    stand_in.fail("short")
    assert pages(client, 10) == [ids[:5], ids[4:]]


def test_a_page_can_be_short_for_ever(client: Client, stand_in: StandIn, ids: list[int]) -> None:
    stand_in.fail("short", where="middle", times=None)
    assert pages(client, 6) == [[ids[0], ids[2], ids[4]], ids[5:]]


@pytest.mark.parametrize(
    ("form", "cursor"),
    [
        ("null", lambda ids: None),
        ("text", lambda ids: "next"),
        ("empty", lambda ids: {}),
        ("no-more", lambda ids: {"more": False, "since": ids[0], "max": ids[3]}),
        ("digits", lambda ids: {"more": "true", "since": str(ids[0]), "max": str(ids[3])}),
        ("swapped", lambda ids: {"more": True, "since": ids[3], "max": ids[0]}),
        ("stuck", lambda ids: {"more": True, "since": ids[0], "max": ids[0]}),
    ],
)
def test_a_cursor_can_be_wrong(client: Client, stand_in: StandIn, ids: list[int], form: str, cursor: Any) -> None:
    stand_in.fail("cursor", form=form)
    answer = page(client, limit=4)
    assert (answer["cursor"], shown(answer["messages"])) == (cursor(ids), ids[:4])


def test_a_cursor_can_promise_more_than_there_is(client: Client, stand_in: StandIn, ids: list[int]) -> None:
    stand_in.fail("cursor", form="more")
    assert page(client)["cursor"] == {"more": True, "since": ids[0], "max": ids[-1]}


def test_a_cursor_can_be_missing(client: Client, stand_in: StandIn, ids: list[int]) -> None:
    stand_in.fail("cursor")
    answer = page(client)
    assert ("cursor" in answer, shown(answer["messages"])) == (False, ids)


def test_messages_can_be_no_objects(client: Client, stand_in: StandIn, ids: list[int]) -> None:
    stand_in.fail("not-objects")
    messages = page(client)["messages"]
    assert [each for each in messages if not isinstance(each, dict)] == [None, "post", 7, []]
    assert shown([each for each in messages if isinstance(each, dict)]) == ids


def test_the_stream_can_be_empty_at_times(client: Client, stand_in: StandIn, ids: list[int]) -> None:
    stand_in.fail("stream-empty")
    assert page(client) | {"user": 0, "response": 0} == {
        "user": 0,
        "response": 0,
        "messages": [],
        "cursor": {"more": False, "since": None, "max": None},
    }
    assert shown(client.stream()) == ids


@pytest.mark.parametrize(("form", "messages"), [("null", None), ("object", {}), ("text", "none")])
def test_messages_can_be_no_list(client: Client, stand_in: StandIn, form: str, messages: object) -> None:
    stand_in.fail("messages", form=form)
    assert page(client)["messages"] == messages


def test_messages_can_be_missing(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("messages")
    assert "messages" not in page(client)


def test_a_behaviour_of_the_stream_can_be_planned_for_some_posts(client: Client, stand_in: StandIn) -> None:
    for text in ("$AAPL", "$MSFT"):
        client.post(text)
    stand_in.fail("id-odd", path=STREAM, text="$AAPL", value="x")
    assert [message["id"] == "x" for message in client.stream()] == [False, True]


def test_a_stream_behaviour_waits_for_a_stream(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("stream-empty")
    assert client.post().status_code == 200
    assert [len(client.stream()) for _ in range(2)] == [0, 1]


def test_posts_that_are_not_shown_yet_do_not_count(client: Client, stand_in: StandIn, clock: Clock) -> None:
    client.post("one")
    clock.now += 60
    stand_in.configure(stream_lag_seconds=60)
    client.post("two")
    answer = page(client, limit=1)
    assert (texts(answer["messages"]), answer["cursor"]["more"]) == (["one"], False)
