"""The contrary StockTwits of a run under faults: fair to any client, and each cause is known."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

import pytest
import requests

from local.stand_ins.stocktwits.contrary import CREATE, STREAM, Contrary
from local.stand_ins.stocktwits.faults import Fault, plan
from local.stand_ins.stocktwits.server import StandIn
from verification.reliability.contrary import FairApi, causes, is_unclear


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn(duplicate_seconds=0.0) as running:
        yield running


def contrary(stand_in: StandIn, *names: Contrary, settled: AbstractSet[int] = frozenset()) -> FairApi:
    """Let every request and every post be contrary in these ways; the ledger knows whose the settled posts are."""
    api = FairApi(stand_in, settled.__contains__)
    stand_in.api = api
    stand_in.configure(contrary=1, contrary_share=1.0, contrary_behaviours=names)
    return api


def post(stand_in: StandIn, text: str) -> requests.Response:
    return requests.post(
        f"{stand_in.api_url}/messages/create.json",
        data={"body": text},
        headers={"Authorization": f"Bearer {stand_in.access_token}"},
        timeout=5,
    )


def stream_ids(stand_in: StandIn) -> list[int]:
    answer = requests.get(f"{stand_in.api_url}/streams/user/{stand_in.user_id}.json", timeout=5)
    return [each["id"] for each in answer.json()["messages"]]


def test_an_answer_names_another_post_only_if_the_ledger_knows_whose_that_is(stand_in: StandIn) -> None:
    settled: set[int] = set()
    contrary(stand_in, Contrary.ID_OF_ANOTHER, settled=settled)
    named = [post(stand_in, f"$AAPL {number}").json()["message"]["id"] for number in range(2)]
    assert named == [each.id for each in stand_in.posts]
    settled.add(named[0])
    assert post(stand_in, "$AAPL 2").json()["message"]["id"] == named[0]


def test_the_stream_shows_each_post_under_its_own_id(stand_in: StandIn) -> None:
    contrary(stand_in, Contrary.ID_OF_ANOTHER, settled={600_000_001})
    for number in range(3):
        post(stand_in, f"$AAPL {number}")
    assert stream_ids(stand_in) == [each.id for each in reversed(stand_in.posts)]


def test_no_answer_denies_a_post_that_was_made(stand_in: StandIn) -> None:
    contrary(stand_in, Contrary.DUPLICATE, Contrary.INNER_STATUS)
    for number in range(100):
        answer = post(stand_in, f"$AAPL {number}")
        inner = answer.json()["response"]["status"]
        if {answer.status_code, int(inner)} & {401, 422, 429}:
            assert f"$AAPL {number}" not in {each.body for each in stand_in.posts}


def test_ids_go_on_where_the_stand_in_was(stand_in: StandIn) -> None:
    first = post(stand_in, "$AAPL").json()["message"]["id"]
    contrary(stand_in, Contrary.RENDERED)
    assert post(stand_in, "$MSFT").json()["message"]["id"] == first + 1


def test_what_happens_to_a_post_is_known_beforehand(stand_in: StandIn) -> None:
    api = contrary(stand_in, Contrary.ID_MISSING)
    assert api.of_posts(["$AAPL"]) == {"$AAPL": {"id-missing"}}
    assert "id" not in post(stand_in, "$AAPL").json()["message"]


@pytest.mark.parametrize(
    ("fault", "details"),
    [
        (Fault.RATE_LIMITED, {}),
        (Fault.BOT_BLOCK, {}),
        (Contrary.PAGE, {"status": 404}),
        (Contrary.ERROR, {"status": 403}),
        (Contrary.DUPLICATE, {}),
        (Contrary.RENDERED, {}),
    ],
)
def test_after_some_answers_it_is_clear_what_became_of_the_post(fault: str, details: dict[str, Any]) -> None:
    assert not is_unclear(plan(fault, 1, None, None, details))


@pytest.mark.parametrize(
    ("fault", "details"),
    [
        (Fault.RESET_BEFORE, {}),
        (Fault.NO_ID, {}),
        (Contrary.PAGE, {"status": 200}),
        (Contrary.PAGE, {"status": 520}),
        (Contrary.INNER_STATUS, {"status": 500}),
        (Contrary.ID_MISSING, {}),
        (Contrary.ID_OF_ANOTHER, {}),
    ],
)
def test_after_other_answers_nobody_can_tell(fault: str, details: dict[str, Any]) -> None:
    assert is_unclear(plan(fault, 1, None, None, details))


def test_the_causes_of_a_dead_letter_are_those_of_its_own_text_and_of_the_stream_just_before(stand_in: StandIn) -> None:
    stand_in.fail("page", status=404)
    stand_in.fail("shuffled")
    post(stand_in, "$AAPL")
    stream_ids(stand_in)
    (created, page), (asked, shuffled) = stand_in.faulted
    assert (created.resource, asked.resource.startswith(STREAM)) == (CREATE, True)
    posts, of_posts = {"$MSFT": asked.at}, {"$AAPL": frozenset({"rendered"}), "$MSFT": frozenset({"created-at"})}

    def found(sent_at: float) -> tuple[str, ...]:
        return causes([(created, page), (asked, shuffled)], posts, of_posts, {"$AAPL": [sent_at]})["$AAPL"]

    assert found(asked.at) == ("page", "rendered", "shuffled on the stream", "created-at of another post")
    assert found(asked.at + 3600) == ("page", "rendered")
