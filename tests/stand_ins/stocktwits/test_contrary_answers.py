"""Answers of the stand-in for StockTwits that its documentation does not mention, over real HTTP."""

from typing import Any

import pytest
import requests

from local.stand_ins.stocktwits.contrary import BEHAVIOURS, Kind
from local.stand_ins.stocktwits.server import StandIn
from tests.stand_ins.stocktwits.client import GIF, STREAM, Client, Clock, bodies, error

DUPLICATE = "Duplicate messages within 30 minutes will not be posted."


def test_without_plans_nothing_is_contrary(client: Client, stand_in: StandIn) -> None:
    client.post()
    client.stream()
    assert (stand_in.contrary, stand_in.faulted) == (None, [])


@pytest.mark.parametrize("status", [400, 404, 413, 418, 422, 402, 405, 406, 409, 410, 451, 520, 527, 530, 103, 204])
def test_a_page_can_come_in_place_of_an_answer(client: Client, stand_in: StandIn, status: int) -> None:
    stand_in.fail("page", status=status)
    answer = client.post()
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (status, "text/html")
    assert "<!DOCTYPE html>" in answer.text or status in {103, 204}
    assert bodies(stand_in) == []


@pytest.mark.parametrize("status", [403, 429, 503, 521])
def test_a_page_can_be_that_of_cloudflare(client: Client, stand_in: StandIn, status: int) -> None:
    stand_in.fail("page", status=status, by="cloudflare")
    answer = client.post()
    assert (answer.status_code, "Cloudflare" in answer.text, "CF-RAY" in answer.headers) == (status, True, True)


@pytest.mark.parametrize("status", [400, 404, 422, 200])
def test_an_answer_can_be_empty(client: Client, stand_in: StandIn, status: int) -> None:
    stand_in.fail("empty", status=status)
    answer = client.post()
    assert (answer.status_code, answer.content) == (status, b"")


@pytest.mark.parametrize(
    ("form", "shape"),
    [
        ("error", {"error": "Not found"}),
        ("message", {"message": "Not found"}),
        ("errors-text", {"errors": "Not found"}),
        ("errors-empty", {"errors": []}),
        ("errors-null", {"response": {"status": 404}, "errors": None}),
        ("list", []),
        ("text", "Not found"),
        ("number", 404),
        ("null", None),
    ],
)
def test_an_answer_can_be_json_of_another_shape(
    client: Client, stand_in: StandIn, form: str, shape: dict[str, Any] | None
) -> None:
    stand_in.fail("other-json", form=form, status=422)
    answer = client.post()
    assert (answer.status_code, answer.json()) == (422, shape)
    assert bodies(stand_in) == []


@pytest.mark.parametrize(
    ("fault", "details"),
    [("page", {"status": 200}), ("empty", {"status": 200}), ("other-json", {"status": 200}), ("inner-status", {})],
)
@pytest.mark.parametrize("accepted", [True, False])
def test_a_success_that_cannot_be_used_comes_with_or_without_the_post(
    client: Client, stand_in: StandIn, fault: str, details: dict[str, Any], accepted: bool
) -> None:
    stand_in.fail(fault, accepted=accepted, **details)
    assert client.post().status_code == 200
    assert bodies(stand_in) == (["hello"] if accepted else [])


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "Authentication required"),
        (422, DUPLICATE),
        (429, "Rate limit exceeded. Client may not make more than 400 requests an hour."),
        (500, "Something went wrong"),
    ],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_a_success_can_have_another_status_in_its_body(
    client: Client, stand_in: StandIn, status: int, message: str, as_text: bool
) -> None:
    stand_in.fail("inner-status", status=status, as_text=as_text)
    answer = client.post()
    inner = {"status": str(status) if as_text else status}
    assert (answer.status_code, answer.json()) == (200, {"response": inner, "errors": [{"message": message}]})


def test_one_text_can_be_refused_for_ever(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("error", text="$BAD", times=None)
    assert [error(client.post("$BAD")) for _ in range(3)] == [(403, "You cannot reply to this message")] * 3
    assert client.post("$GOOD").status_code == 200


def test_replies_alone_can_be_refused_for_ever(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("error", only="reply", times=None)
    assert [client.post("a", in_reply_to_message_id=7).status_code for _ in range(2)] == [403, 403]
    assert client.post("a").status_code == 200


def test_posts_with_a_chart_alone_can_be_refused_for_ever(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("error", only="chart", status=401, message="No charts", times=None)
    assert error(client.upload(GIF)) == error(client.post(chart="https://a.b/c.png")) == (401, "No charts")
    assert client.post().status_code == 200


def test_one_text_can_meet_bot_protection_for_ever(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("403-html", text="$BAD", times=None)
    assert [client.post(each).status_code for each in ("$BAD", "$GOOD", "$BAD")] == [403, 200, 403]


@pytest.mark.parametrize("status", [402, 405, 406, 409, 410, 451])
def test_an_error_can_have_a_status_that_is_not_listed(client: Client, stand_in: StandIn, status: int) -> None:
    stand_in.fail("error", status=status, message="No")
    assert error(client.post()) == (status, "No")


def test_bot_protection_can_answer_in_json(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("problem")
    answer = client.post()
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, "application/problem+json")
    problem = answer.json()
    assert problem["type"].endswith("/cloudflare-1xxx-errors/error-1020/")
    assert (problem["title"], problem["status"]) == ("Error 1020: Access denied", 403)
    assert (problem["error_code"], problem["cloudflare_error"], problem["retryable"]) == (1020, True, False)
    assert {"detail", "instance"} < problem.keys()


@pytest.mark.parametrize(("code", "status"), [(1015, 429), (1200, 503)])
def test_bot_protection_can_answer_that_it_is_too_much(
    client: Client, stand_in: StandIn, code: int, status: int
) -> None:
    stand_in.fail("problem", code=code, status=status, path="account/verify")
    answer = client.get("/api/2/account/verify.json")
    assert (answer.status_code, answer.json()["error_code"], answer.json()["retryable"]) == (status, code, True)


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("seconds", "300"),
        ("epoch", "1800000300"),
        ("milliseconds", "1800000300000"),
        ("http-date", "Fri, 15 Jan 2027 08:05:00 GMT"),
        ("iso-date", "2027-01-15T08:05:00Z"),
        ("decimal-seconds", "300.0"),
        ("decimal-epoch", "1800000300.000"),
        ("past", "1799999700"),
        ("days", "259200"),
        ("days-epoch", "1800259200"),
        ("zero", "0"),
        ("negative", "-1"),
        ("empty", ""),
        ("nonsense", "soon"),
    ],
)
@pytest.mark.parametrize("header", ["X-RateLimit-Reset", "Retry-After"])
def test_a_limit_can_end_in_any_form(client: Client, stand_in: StandIn, header: str, form: str, value: str) -> None:
    stand_in.fail("429-form", header=header, form=form, seconds=300)
    answer = client.post()
    assert (answer.status_code, answer.headers[header]) == (429, value)


@pytest.mark.parametrize(("accepted", "posted"), [(True, ["hello"]), (False, [])])
def test_a_text_can_be_refused_as_a_duplicate_of_nothing(
    client: Client, stand_in: StandIn, accepted: bool, posted: list[str]
) -> None:
    stand_in.fail("duplicate", accepted=accepted)
    assert error(client.post()) == (422, DUPLICATE)
    assert bodies(stand_in) == posted


def test_one_duplicate_can_be_accepted(client: Client, stand_in: StandIn) -> None:
    client.post()
    stand_in.fail("duplicate-accepted")
    assert [client.post().status_code for _ in range(2)] == [200, 422]
    assert bodies(stand_in) == ["hello", "hello"]


def test_duplicates_can_be_forgotten(client: Client, stand_in: StandIn) -> None:
    stand_in.configure(duplicate_seconds=0)
    assert [client.post().status_code for _ in range(2)] == [200, 200]


def test_duplicates_can_be_refused_for_longer(client: Client, stand_in: StandIn, clock: Clock) -> None:
    stand_in.configure(duplicate_seconds=7200)
    client.post()
    clock.now += 7199
    assert client.post().status_code == 422
    clock.now += 1
    assert client.post().status_code == 200


@pytest.mark.parametrize("status", [404, 422])
def test_a_reply_is_refused_until_its_parent_is_visible(
    client: Client, stand_in: StandIn, clock: Clock, status: int
) -> None:
    stand_in.configure(parent_lag_seconds=10, parent_status=status)
    parent = client.post("parent").json()["message"]["id"]
    assert error(client.post("reply", in_reply_to_message_id=parent))[0] == status
    assert client.post("other reply", in_reply_to_message_id=7).status_code == 200
    clock.now += 10
    assert client.post("reply", in_reply_to_message_id=parent).status_code == 200


def test_a_hidden_parent_can_be_planned(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("parent-hidden", only="reply", times=2)
    assert [client.post("a", in_reply_to_message_id=7).status_code for _ in range(3)] == [404, 404, 200]


def test_a_post_can_be_made_after_the_client_gave_up(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("late", seconds=0.3)
    with pytest.raises(requests.ReadTimeout):
        client.send("POST", "/api/2/messages/create.json", data={"body": "hello"}, timeout=0.1)
    assert bodies(stand_in) == []
    while not stand_in.posts:
        client.get("/_standin/stats")
    assert bodies(stand_in) == ["hello"]


def test_a_late_post_is_a_duplicate_if_the_client_was_faster(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("late", seconds=0.3)
    with pytest.raises(requests.ReadTimeout):
        client.send("POST", "/api/2/messages/create.json", data={"body": "hello"}, timeout=0.1)
    assert client.post().status_code == 200
    stand_in.stop()
    assert bodies(stand_in) == ["hello"]


@pytest.mark.parametrize(
    "fault", [each for each, behaviour in BEHAVIOURS.items() if behaviour.kind is Kind.ANSWER], ids=str
)
def test_any_request_can_be_answered_so(client: Client, stand_in: StandIn, fault: str) -> None:
    stand_in.fail(fault, path=STREAM, **({"status": 404} if "status" in BEHAVIOURS[fault].details else {}))
    answer = client.get("/api/2/streams/user/4242.json")
    assert answer.status_code == {"429-form": 429, "duplicate": 422, "inner-status": 200}.get(fault, 404)
    assert client.stream() == []


@pytest.mark.parametrize(
    "planned",
    [
        {"fault": "shuffled", "path": "messages/create"},
        {"fault": "late", "path": "streams/user"},
        {"fault": "created-at", "path": "account/verify"},
        {"fault": "created-at", "form": "yesterday"},
        {"fault": "429-form", "form": "fortnight"},
        {"fault": "page", "only": "sentiment"},
    ],
)
def test_a_behaviour_that_makes_no_sense_is_refused_when_it_is_planned(client: Client, planned: dict[str, str]) -> None:
    assert client.control("faults", **planned).status_code == 400
