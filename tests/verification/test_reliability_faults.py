"""The features of the stand-in for StockTwits and the proxy that a run under faults needs, over real HTTP."""

import http.client
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import requests

from local.stand_ins.http_server import Handler, Server
from local.stand_ins.stocktwits.server import StandIn
from verification.reliability.visibility import VisibilityProxy


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn() as running:
        yield running


def post(stand_in: StandIn, body: str) -> int:
    """Return the status of an attempt to post; 0 without an answer."""
    try:
        return requests.post(
            f"{stand_in.api_url}/messages/create.json",
            data={"body": body},
            headers={"Authorization": f"Bearer {stand_in.access_token}"},
            timeout=5,
        ).status_code
    except requests.ConnectionError:
        return 0


def stream(stand_in: StandIn, limit: int = 30) -> list[dict[str, Any]]:
    address = f"{stand_in.api_url}/streams/user/{stand_in.user_id}.json"
    messages: list[dict[str, Any]] = requests.get(address, params={"limit": limit}, timeout=5).json()["messages"]
    return messages


def test_each_random_fault_affects_its_share_of_the_requests(stand_in: StandIn) -> None:
    stand_in.fail_at_random(1, {"401": 0.2, "5xx-before 503": 0.1})
    statuses = Counter(post(stand_in, f"$AAPL {number}") for number in range(300))
    assert 40 < statuses[401] < 80
    assert 15 < statuses[503] < 45
    assert statuses[200] == 300 - statuses[401] - statuses[503] == len(stand_in.posts)
    faulted = Counter(planned.name for _, planned in stand_in.faulted)
    assert faulted == {"401": statuses[401], "5xx-before 503": statuses[503]}
    assert {seen.fields["body"] for seen, _ in stand_in.faulted}.isdisjoint(each.body for each in stand_in.posts)


def test_the_same_requests_get_the_same_random_faults_in_any_order(stand_in: StandIn) -> None:
    texts = [f"$AAPL {number}" for number in range(60)] * 2

    def statuses(seed: int, order: Sequence[str]) -> Counter[tuple[str, int]]:
        stand_in.reset()
        stand_in.configure(duplicate_seconds=0.0)
        stand_in.fail_at_random(seed, {"5xx-before": 0.5})
        return Counter((text, post(stand_in, text)) for text in order)

    assert statuses(1, texts) == statuses(1, texts[::-1]) != statuses(2, texts)


def test_each_repetition_of_a_request_has_its_own_chance(stand_in: StandIn) -> None:
    stand_in.configure(duplicate_seconds=0.0)
    stand_in.fail_at_random(1, {"5xx-before": 0.5})
    assert len({post(stand_in, "$AAPL") for _ in range(20)}) == 2


def test_a_planned_fault_precedes_a_random_one_and_a_reset_removes_both(stand_in: StandIn) -> None:
    stand_in.fail_at_random(1, {"5xx-before": 1.0})
    stand_in.fail("401")
    assert [post(stand_in, "$AAPL"), post(stand_in, "$AAPL")] == [401, 500]
    stand_in.reset()
    assert (post(stand_in, "$AAPL"), stand_in.faulted) == (200, [])


@pytest.mark.parametrize(("name", "wrong"), [("no-such", "no-such"), ("reset-before 5", "details"), ("429 x", "x")])
def test_an_unknown_random_fault_is_refused(stand_in: StandIn, name: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        stand_in.fail_at_random(1, {name: 0.1})


def test_a_429_has_the_reset_of_its_fault(stand_in: StandIn) -> None:
    stand_in.clock = lambda: 1000.0
    stand_in.fail_at_random(1, {"429 2": 1.0})
    answer = requests.get(f"{stand_in.api_url}/account/verify.json", timeout=5)
    assert (answer.status_code, answer.headers["X-RateLimit-Reset"]) == (429, "1002")


def test_posts_survive_a_restart(stand_in: StandIn) -> None:
    post(stand_in, "$AAPL")
    stand_in.stop()
    assert post(stand_in, "$MSFT") == 0
    stand_in.start()
    assert [each["body"] for each in stream(stand_in)] == ["$AAPL"]


def test_the_time_for_duplicates_is_a_setting(stand_in: StandIn) -> None:
    assert [post(stand_in, "$AAPL"), post(stand_in, "$AAPL")] == [200, 422]
    stand_in.configure(duplicate_seconds=0.0)
    assert post(stand_in, "$AAPL") == 200


def test_a_stream_can_show_a_multiple_of_the_posts(stand_in: StandIn) -> None:
    for number in range(70):
        post(stand_in, f"$AAPL {number}")
    assert len(stream(stand_in)) == 30
    stand_in.configure(stream_times=2)
    assert [len(stream(stand_in)), len(stream(stand_in, limit=5))] == [60, 10]


class Sqs:
    """Echoes every request over HTTP, and records the calls of its own client."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str, bytes]] = []
        self.changed: list[tuple[int, dict[str, Any]]] = []

    def change_message_visibility_batch(self, **options: Any) -> None:
        self.changed.append((len(self.requests), options))


class SqsHandler(Handler):
    server: Server[Sqs]

    def serve(self) -> None:
        body = self.read_body()
        self.server.stand_in.requests.append((self.path, self.headers["X-Amz-Target"], self.headers["Host"], body))
        self.answer(418, body, {"Content-Type": "application/x-amz-json-1.0", "x-amzn-RequestId": "1"})


@pytest.fixture
def wire() -> Iterator[tuple[VisibilityProxy, Sqs]]:
    """A proxy that sets a tenth of each timeout, 20 seconds at most, and the SQS behind it."""
    server = Server(0, SqsHandler, Sqs())
    server.start()
    with VisibilityProxy(f"http://127.0.0.1:{server.server_port}", server.stand_in, 10, 20) as proxy:
        yield proxy, server.stand_in
    server.stop()


def send(proxy: VisibilityProxy, action: str, payload: str | bytes) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=5)
    connection.request("POST", "/", payload, {"X-Amz-Target": f"AmazonSQS.{action}", "Host": "sqs.example.com"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def test_a_timeout_becomes_a_tenth_within_its_limits(wire: tuple[VisibilityProxy, Sqs]) -> None:
    proxy, sqs = wire
    entries = [{"Id": str(seconds), "ReceiptHandle": "r", "VisibilityTimeout": seconds} for seconds in (3, 40, 900)]
    send(proxy, "ChangeMessageVisibilityBatch", json.dumps({"QueueUrl": "q", "Entries": entries}))
    ((requests_before, changed),) = sqs.changed
    assert (requests_before, changed["QueueUrl"], proxy.shortened) == (1, "q", 3)
    assert [each["VisibilityTimeout"] for each in changed["Entries"]] == [1, 4, 20]
    assert {each["ReceiptHandle"] for each in changed["Entries"]} == {"r"}


@pytest.mark.parametrize("action", ["SendMessageBatch", "ChangeMessageVisibilityBatch"])
def test_requests_and_answers_pass_unchanged(wire: tuple[VisibilityProxy, Sqs], action: str) -> None:
    proxy, sqs = wire
    payload = b'{"QueueUrl":  "q", "Entries": [{"VisibilityTimeout": 900}]}'
    answer, content = send(proxy, action, payload)
    assert sqs.requests == [("/", f"AmazonSQS.{action}", "sqs.example.com", payload)]
    assert (answer.status, content, answer.headers["x-amzn-RequestId"]) == (418, payload, "1")
    assert answer.headers["Content-Type"] == "application/x-amz-json-1.0"
    assert bool(sqs.changed) == (action == "ChangeMessageVisibilityBatch")
