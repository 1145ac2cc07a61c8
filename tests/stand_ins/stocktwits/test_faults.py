"""The rate limit and the faults of the stand-in for StockTwits."""

from typing import Any

import pytest
import requests

from local.stand_ins.stocktwits.faults import Fault
from local.stand_ins.stocktwits.server import StandIn
from tests.stand_ins.stocktwits.client import Client, Clock, bodies, error, raw, raw_request


def test_without_a_rate_limit_answers_have_no_rate_limit_headers(client: Client) -> None:
    assert not [name for name in client.post().headers if "ratelimit" in name.lower()]


def test_with_a_rate_limit_every_answer_has_the_remaining_requests(
    client: Client, stand_in: StandIn, clock: Clock
) -> None:
    stand_in.configure(rate_limit=10)
    told = [answer.headers for answer in (client.post(), client.post(""), client.get("/api/2/nothing.json"))]
    assert [headers["X-RateLimit-Remaining"] for headers in told] == ["9", "8", "7"]
    assert told[0]["X-RateLimit-Limit"] == "10"
    assert told[0]["X-RateLimit-Reset"] == str(int(clock.now) + 3600)


def test_beyond_the_rate_limit_nothing_is_posted_for_an_hour(client: Client, stand_in: StandIn, clock: Clock) -> None:
    stand_in.configure(rate_limit=1)
    client.post("one")
    refused = client.post("two")
    assert error(refused) == (429, "Rate limit exceeded. Client may not make more than 1 requests an hour.")
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    clock.now = int(refused.headers["X-RateLimit-Reset"])
    assert client.post("three").status_code == 200
    assert bodies(stand_in) == ["one", "three"]


def test_a_fault_without_details_is_a_bare_429(client: Client, stand_in: StandIn) -> None:
    stand_in.fail(Fault.RATE_LIMITED)
    answer = client.post()
    assert error(answer) == (429, "Rate limit exceeded. Client may not make more than 400 requests an hour.")
    assert not {"X-RateLimit-Reset", "Retry-After"} & set(answer.headers)


def test_a_429_can_have_the_time_of_the_reset(client: Client, stand_in: StandIn, clock: Clock) -> None:
    stand_in.fail("429", reset_in_seconds=90)
    assert client.post().headers["X-RateLimit-Reset"] == str(int(clock.now) + 90)


def test_a_429_can_have_a_retry_after(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("429", retry_after=7)
    assert client.post().headers["Retry-After"] == "7"


def test_the_headers_of_a_429_override_the_rate_limit(client: Client, stand_in: StandIn, clock: Clock) -> None:
    stand_in.configure(rate_limit=10)
    stand_in.fail("429", reset_in_seconds=90)
    assert client.post().headers["X-RateLimit-Reset"] == str(int(clock.now) + 90)


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [("401", 401, "Authentication required"), ("suspended", 401, "Account suspended"), ("403-json", 403, "scope")],
)
def test_a_refused_account_gets_an_error_in_json(
    client: Client, stand_in: StandIn, fault: str, status: int, text: str
) -> None:
    stand_in.fail(fault)
    refused = error(client.post())
    assert (refused[0], text in refused[1]) == (status, True)
    assert stand_in.posts == []


def test_a_bot_challenge_is_a_page(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("403-html")
    answer = client.post()
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (403, "text/html")
    assert "Just a moment" in answer.text
    assert stand_in.posts == []


@pytest.mark.parametrize("status", [500, 503, 504])
@pytest.mark.parametrize(("fault", "posted"), [("5xx-before", []), ("5xx-after", ["hello"])])
def test_a_server_error_comes_before_or_after_the_post_was_accepted(
    client: Client, stand_in: StandIn, fault: str, posted: list[str], status: int
) -> None:
    stand_in.fail(fault, status=status)
    answer = client.post()
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (status, "text/html")
    assert bodies(stand_in) == posted


@pytest.mark.parametrize(("fault", "posted"), [("timeout-before", []), ("timeout-after", ["hello"])])
def test_an_answer_is_delayed_until_the_client_gives_up(
    client: Client, stand_in: StandIn, fault: str, posted: list[str]
) -> None:
    stand_in.fail(fault)
    with pytest.raises(requests.ReadTimeout):
        client.send("POST", "/api/2/messages/create.json", data={"body": "hello"}, timeout=0.2)
    assert bodies(stand_in) == posted


def test_a_delayed_answer_is_sent_after_its_time(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("timeout-after", seconds=0.01)
    assert client.post().json()["message"]["id"] == stand_in.posts[0].id


@pytest.mark.parametrize(("fault", "posted"), [("reset-before", []), ("reset-after", ["hello"])])
def test_a_reset_resets_the_connection(stand_in: StandIn, fault: str, posted: list[str]) -> None:
    stand_in.fail(fault)
    with raw(stand_in) as connection:
        connection.sendall(raw_request())
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert bodies(stand_in) == posted


def test_a_close_ends_the_connection_in_order_and_without_an_answer(stand_in: StandIn) -> None:
    stand_in.fail("close-after")
    with raw(stand_in) as connection:
        connection.sendall(raw_request())
        assert connection.recv(1) == b""
    assert bodies(stand_in) == ["hello"]


@pytest.mark.parametrize(("accepted", "posted"), [(True, ["hello"]), (False, [])])
def test_a_success_can_lack_the_id(client: Client, stand_in: StandIn, accepted: bool, posted: list[str]) -> None:
    stand_in.fail("no-id", accepted=accepted)
    answer = client.post()
    assert (answer.status_code, "id" in answer.json()["message"]) == (200, False)
    assert bodies(stand_in) == posted


@pytest.mark.parametrize(("accepted", "posted"), [(True, ["hello"]), (False, [])])
def test_a_success_can_have_no_json(client: Client, stand_in: StandIn, accepted: bool, posted: list[str]) -> None:
    stand_in.fail("not-json", accepted=accepted)
    answer = client.post()
    assert answer.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        answer.json()
    assert bodies(stand_in) == posted


def test_a_redirect_posts_nothing(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("redirect", location="/elsewhere")
    answer = client.post()
    assert (answer.status_code, answer.headers["Location"]) == (302, "/elsewhere")
    assert stand_in.posts == []


def test_a_fault_affects_one_request_by_default(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("401")
    assert [client.post().status_code for _ in range(2)] == [401, 200]


def test_a_fault_affects_as_many_requests_as_planned(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("401", times=2)
    assert [client.post().status_code for _ in range(3)] == [401, 401, 200]


def test_a_fault_without_a_count_affects_all_requests(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("401", times=None)
    assert {client.post().status_code for _ in range(9)} == {401}


def test_a_fault_can_be_planned_for_a_text(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("401", text="$AAPL")
    assert [client.post(body).status_code for body in ("$MSFT up", "$AAPL up", "$AAPL down")] == [200, 401, 200]


def test_the_first_fault_that_matches_wins(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("401", text="other")
    stand_in.fail("429")
    stand_in.fail("403-json")
    assert [client.post().status_code for _ in range(3)] == [429, 403, 200]


def test_a_fault_affects_its_path_only(client: Client, stand_in: StandIn) -> None:
    stand_in.fail("401", path="streams/us")
    stand_in.fail("5xx-before", path="streams/user", status=503)
    assert client.post().status_code == 200
    assert client.get("/api/2/streams/user/4242.json").status_code == 503
    assert client.get("/api/2/streams/user/4242.json").status_code == 200


@pytest.mark.parametrize("planned", [{"fault": "flood"}, {"fault": "401", "times": 0}, {"fault": "401", "status": 500}])
def test_an_invalid_fault_is_refused_when_it_is_planned(stand_in: StandIn, planned: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"flood|takes times"):
        stand_in.fail(**planned)
