"""The contrary mode of the stand-in for StockTwits: what it draws by a seed, over real HTTP."""

import json
from collections import Counter
from collections.abc import Sequence
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import requests

from local.stand_ins.stocktwits.api import SeenRequest, Settings
from local.stand_ins.stocktwits.contrary import BEHAVIOURS, HIDING, Contrary, Kind
from local.stand_ins.stocktwits.contrary_api import ContraryApi
from local.stand_ins.stocktwits.contrary_mode import ContraryMode
from local.stand_ins.stocktwits.faults import Fault, catalogue
from local.stand_ins.stocktwits.rendering import Rendering
from local.stand_ins.stocktwits.server import StandIn
from tests.stand_ins.stocktwits.client import GIF, Client, Clock

TEXTS = [f"$AAPL is up {number}%, see example.com/{number}" for number in range(40)]
NOT_LATE = [each for each in Contrary if each is not Contrary.LATE]
DRAWS = [(fault, details) for fault, behaviour in BEHAVIOURS.items() for details in behaviour.draws]


def outcome(answer: requests.Response) -> object:
    """Return what an answer shows but for ids, which depend on the order."""
    shown = answer.json() if answer.content[:1] == b"{" else answer.text
    message = shown.get("message") if isinstance(shown, dict) else None
    if not isinstance(message, dict):
        return answer.status_code, shown
    return answer.status_code, {name: value for name, value in message.items() if name != "id"}


def outcomes(stand_in: StandIn, texts: Sequence[str], seed: int | None, **changes: Any) -> dict[str, object]:
    """Return the outcome of posting each text to a stand-in in contrary mode that has no posts yet."""
    stand_in.reset()
    stand_in.configure(contrary=seed, contrary_behaviours=NOT_LATE, **changes)
    client = Client(stand_in)
    with client.session:
        return {text: outcome(client.post(text)) for text in texts}


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_is_contrary_in_the_same_way_in_any_order(stand_in: StandIn, seed: int) -> None:
    forwards, backwards = outcomes(stand_in, TEXTS, seed), outcomes(stand_in, TEXTS[::-1], seed)
    assert forwards == backwards != outcomes(stand_in, TEXTS, seed + 1)


def test_a_share_of_zero_draws_nothing(stand_in: StandIn) -> None:
    assert outcomes(stand_in, TEXTS, 1, contrary_share=0.0) == outcomes(stand_in, TEXTS, None)


def test_the_mode_can_be_limited_to_some_behaviours(client: Client, stand_in: StandIn) -> None:
    stand_in.configure(contrary=1, contrary_share=1.0, contrary_behaviours=["created-at", "cursor"])
    for text in TEXTS:
        assert client.post(text).status_code == 200
    client.stream()
    assert {planned.fault for _, planned in stand_in.faulted} <= {Contrary.CREATED_AT, Contrary.CURSOR}
    assert all(post.alterations and not post.renderings for post in stand_in.posts)


def test_every_behaviour_is_drawn_sooner_or_later(client: Client, stand_in: StandIn) -> None:
    for text in TEXTS:
        client.post(text, in_reply_to_message_id=7)
        client.stream()
    drawn: Counter[str] = Counter()
    for mode in (ContraryMode(seed, 0.5) for seed in range(20)):
        drawn.update(each.fault for text in TEXTS for each in mode.of_post(text))
        drawn.update(each.fault for request in stand_in.requests for each in mode.of_request(request))
        drawn.update([Contrary.DUPLICATE_ACCEPTED] if mode.forgetful else [])
    assert drawn.keys() == set(Contrary)


@pytest.mark.parametrize("forgetful", [{"duplicate_seconds": 0.0}, {"contrary_behaviours": [*Contrary]}])
def test_a_run_that_accepts_duplicates_hides_no_posts(
    client: Client, stand_in: StandIn, forgetful: dict[str, Any]
) -> None:
    stand_in.configure(contrary=1, contrary_share=1.0, **forgetful)
    for text in TEXTS:
        client.post(text)
        client.get("/api/2/streams/user/4242.json")
    assert not {planned.fault for _, planned in stand_in.faulted} & HIDING
    assert not any(post.lag_seconds for post in stand_in.posts)


def test_every_rendering_is_drawn_sooner_or_later() -> None:
    drawn = {each.details["rendering"] for text in TEXTS for each in ContraryMode(1, 1.0, ["rendered"]).of_post(text)}
    assert drawn == set(Rendering)


def test_the_api_is_contrary_without_a_server_too() -> None:
    api = ContraryApi(Settings(clock=Clock(), contrary=1, contrary_share=1.0, contrary_behaviours=["pinned"]))
    oldest, *_ = [api.post_by_hand(text) for text in TEXTS]
    seen = SeenRequest("GET", "/api/2/streams/user/4242.json", {}, Message(), {}, {}, 0.0)
    assert json.loads(api.answer(seen, *api.draw(seen)).body)["messages"][0]["id"] == oldest.id
    assert json.loads(api.answer(seen).body)["messages"][0]["id"] != oldest.id


def test_it_can_start_contrary() -> None:
    with StandIn(contrary=1, contrary_share=1.0, contrary_behaviours=["rendered"]) as stand_in:
        client = Client(stand_in)
        with client.session:
            client.post()
        assert stand_in.posts[0].renderings


def test_a_post_is_rendered_alike_in_every_answer(client: Client, stand_in: StandIn) -> None:
    stand_in.configure(contrary=3, contrary_share=0.7, contrary_behaviours=["rendered"])
    created = [client.post(text).json()["message"]["body"] for text in TEXTS[:30]]
    assert created == [message["body"] for message in client.stream()][::-1]
    alone = [client.get(f"/api/2/messages/show/{post.id}.json").json()["message"]["body"] for post in stand_in.posts]
    assert created == alone
    assert len({post.renderings for post in stand_in.posts}) > 5


def test_a_post_whose_answer_is_lost_is_rendered_alike(client: Client, stand_in: StandIn) -> None:
    stand_in.configure(contrary=3, contrary_share=0.7, contrary_behaviours=["rendered"])
    created = [client.post(text).json()["message"]["body"] for text in TEXTS[:30]]
    stand_in.reset()
    stand_in.fail("5xx-after", times=None)
    assert {client.post(text).status_code for text in TEXTS[:30]} == {500}
    assert created == [message["body"] for message in client.stream()][::-1]


def test_some_texts_are_refused_for_ever_and_others_are_not(client: Client, stand_in: StandIn) -> None:
    stand_in.configure(contrary=5, contrary_share=0.9, contrary_behaviours=["problem"], duplicate_seconds=0.0)
    statuses = {text: {client.post(text).status_code for _ in range(12)} for text in TEXTS}
    assert any(len(seen) == 1 and 200 not in seen for seen in statuses.values())
    assert any(200 in seen for seen in statuses.values())


def test_in_some_runs_every_reply_is_refused(client: Client, stand_in: StandIn) -> None:
    stand_in.configure(contrary=1, contrary_share=1.0, contrary_behaviours=["error"])
    assert {client.post(text, in_reply_to_message_id=7).status_code for text in TEXTS} == {403}


def test_a_planned_fault_precedes_what_is_drawn(client: Client, stand_in: StandIn) -> None:
    stand_in.configure(contrary=1, contrary_share=1.0)
    stand_in.fail("suspended")
    assert client.post().json()["errors"] == [{"message": "Account suspended"}]


def test_the_rules_of_a_run_are_drawn_too(client: Client, stand_in: StandIn, clock: Clock) -> None:
    stand_in.configure(contrary=1, contrary_share=1.0, contrary_behaviours=["lag"])
    client.post()
    assert client.stream() == []
    clock.now += 400
    assert len(client.stream()) == 1


@pytest.mark.parametrize(
    "changes", [{"contrary": 1, "contrary_behaviours": ["no-such"]}, {"contrary": 1, "contrary_share": 2}]
)
def test_a_mode_that_makes_no_sense_is_refused(client: Client, stand_in: StandIn, changes: dict[str, Any]) -> None:
    assert client.control("settings", **changes).status_code == 400
    assert stand_in.contrary is None


def test_contrary_behaviours_can_have_shares_like_faults(client: Client, stand_in: StandIn) -> None:
    assert client.control("random", seed=1, shares={"id-text": 0.5, "cursor null": 0.5}).status_code == 200
    for text in TEXTS:
        client.post(text)
    for _ in range(40):
        client.stream()
    names = Counter((seen.resource.partition("/")[0], planned.name) for seen, planned in stand_in.faulted)
    assert 10 < names["messages", "id-text"] < 30
    assert 10 < names["streams", "cursor null"] < 30
    assert ("messages", "cursor null") not in names


@pytest.mark.parametrize(("fault", "details"), DRAWS, ids=[f"{fault} {json.dumps(draw)}" for fault, draw in DRAWS])
def test_whatever_can_be_drawn_can_be_planned_and_is_answered(
    client: Client, stand_in: StandIn, fault: Contrary, details: dict[str, Any]
) -> None:
    client.post("one", in_reply_to_message_id=7)
    stand_in.fail(fault, **details | ({"seconds": 0.0} if fault is Contrary.LATE else {}))
    stream = BEHAVIOURS[fault].kind is Kind.PAGE
    answer = client.get("/api/2/streams/user/4242.json", max=stand_in.posts[0].id) if stream else client.post("two")
    assert (
        answer.status_code == (details.get("status", 200) if fault != "inner-status" else 200)
        or "status" not in details
    )
    assert [planned.fault for _, planned in stand_in.faulted] == [fault]


@pytest.mark.parametrize("seed", range(24))
def test_no_seed_breaks_the_server(
    client: Client, stand_in: StandIn, seed: int, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in.configure(contrary=seed, contrary_share=0.8, contrary_behaviours=NOT_LATE)
    for number, text in enumerate(TEXTS):
        client.post(text, in_reply_to_message_id=7, chart="https://example.com/c.png", sentiment="bullish")
        client.upload(GIF, f"{text} and a chart")
        client.post(f"{text} alone")
        client.get("/api/2/streams/user/4242.json", **({"max": stand_in.posts[0].id} if stand_in.posts else {}))
        client.get(f"/api/2/messages/show/{stand_in.posts[-1].id if stand_in.posts else number}.json")
        client.get("/api/2/account/verify.json")
    assert len(client.get("/_standin/posts").json()) == len(stand_in.posts) > 0
    assert client.get("/").status_code == 200
    assert capfd.readouterr() == ("", "")


def test_faults_and_behaviours_have_different_names() -> None:
    assert not {*Fault} & {*Contrary}
    assert BEHAVIOURS.keys() == set(Contrary)


def test_another_process_is_told_what_can_be_planned(client: Client) -> None:
    told = client.get("/_standin/faults").json()
    assert [each["fault"] for each in told] == [*Fault, *Contrary]
    assert all(each["words"] for each in told)
    assert next(each for each in told if each["fault"] == "rendered")["forms"] == [*Rendering]


def test_the_page_says_what_can_be_planned_and_whether_it_is_contrary(client: Client, stand_in: StandIn) -> None:
    shown = client.get("/faults").text
    assert all(f"<dt>{each['fault']}</dt>" in shown for each in catalogue())
    assert "contrary" not in client.get("/").text
    stand_in.configure(contrary=7)
    assert "contrary, seed 7" in client.get("/").text


@pytest.mark.parametrize("name", [*Fault, *Contrary, *Rendering])
def test_the_documents_have_each_name(name: str) -> None:
    assert f"`{name}`" in (Path(__file__).parents[3] / "docs/local-development.md").read_text()
