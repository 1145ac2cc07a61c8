"""Receiving, deleting, hiding and sending messages, and dead letters, with small fakes of SQS's calls."""

import random
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from relay.queue_message import QueueMessage
from relay.queues import DeadLetters, Queue, from_record, with_jitter

from tests.factories import NOW, a_message, messages

URL = "https://sqs.us-east-1.amazonaws.com/1/queue"


@pytest.fixture(params=[0.0, 1.0], ids=["no jitter", "all jitter"])
def jitter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(random, "uniform", lambda least, most: least + request.param * (most - least))
    return float(request.param)


@pytest.mark.usefixtures("jitter")
@pytest.mark.parametrize("seconds", [0.5, 1, 59, 60, 300, 14400])
def test_jitter_never_shortens_a_wait_and_adds_a_quarter_of_a_minute_at_most(seconds: float) -> None:
    assert seconds < with_jitter(seconds) <= seconds + min(seconds, 60) / 4 + 1


def test_the_most_jitter_is_a_quarter_of_the_wait_or_of_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(random, "uniform", lambda _, most: most)
    assert (with_jitter(40), with_jitter(300)) == (40 + 10 + 1, 300 + 15 + 1)


def a_record(**but: Any) -> dict[str, Any]:
    return {
        "messageId": "m-1",
        "receiptHandle": "r-1",
        "body": "$AAPL up",
        "attributes": {"ApproximateReceiveCount": "2", "SentTimestamp": "1799999995500"},
        "messageAttributes": {},
        **but,
    }


def test_a_record_of_an_event_is_read() -> None:
    assert from_record(a_record()) == QueueMessage("m-1", "$AAPL up", "r-1", 2, NOW - 4.5, None)


def test_a_record_may_have_a_key() -> None:
    key = {"stringValue": "k-1", "dataType": "String"}
    assert from_record(a_record(messageAttributes={"RelayKey": key})).relay_key == "k-1"


@pytest.mark.parametrize("attributes", [{"Other": {"stringValue": "x"}}, {"RelayKey": {"binaryValue": "eA=="}}])
def test_a_record_without_a_legible_key_has_none(attributes: dict[str, Any]) -> None:
    assert from_record(a_record(messageAttributes=attributes)).relay_key is None


class FakeBatchCall:
    """A batch call of SQS that refuses these receipts."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.entries: list[list[dict[str, Any]]] = []

    def __call__(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl == URL
        self.entries.append(Entries)
        failed = [each["Id"] for each in Entries if each["ReceiptHandle"] in self.refused]
        answer = {"Successful": [{"Id": each["Id"]} for each in Entries if each["Id"] not in failed]}
        return answer | (
            {"Failed": [{"Id": each, "Code": "ReceiptHandleIsInvalid"} for each in failed]} if failed else {}
        )


def a_queue(**calls: Any) -> Queue:
    return Queue(lambda: SimpleNamespace(**calls), URL)


def test_twenty_one_messages_are_deleted_in_three_batches() -> None:
    delete = FakeBatchCall()
    batch = messages(*["x"] * 21)
    assert a_queue(delete_message_batch=delete).delete(batch) == []
    assert [len(entries) for entries in delete.entries] == [10, 10, 1]
    assert [each["ReceiptHandle"] for entries in delete.entries for each in entries] == [
        each.receipt_handle for each in batch
    ]


def test_ids_within_a_batch_differ_even_for_the_same_message_twice() -> None:
    delete = FakeBatchCall()
    a_queue(delete_message_batch=delete).delete([a_message(), a_message()])
    assert len({each["Id"] for each in delete.entries[0]}) == 2


def test_a_message_that_sqs_did_not_delete_is_named() -> None:
    failures = a_queue(delete_message_batch=FakeBatchCall("r-2", "r-12")).delete(messages(*["x"] * 12))
    assert failures == [
        "message m-2 could not be deleted: ReceiptHandleIsInvalid",
        "message m-12 could not be deleted: ReceiptHandleIsInvalid",
    ]


def test_each_message_has_its_own_visibility_timeout() -> None:
    change = FakeBatchCall()
    first, second = messages("x", "y")
    assert a_queue(change_message_visibility_batch=change).set_visibility([(first, 10), (second, 900)]) == []
    assert [(each["ReceiptHandle"], each["VisibilityTimeout"]) for each in change.entries[0]] == [
        ("r-1", 10),
        ("r-2", 900),
    ]


def test_a_message_whose_visibility_sqs_did_not_change_is_named() -> None:
    changes = [(each, 10) for each in messages(*["x"] * 12)]
    failures = a_queue(change_message_visibility_batch=FakeBatchCall("r-11")).set_visibility(changes)
    assert failures == ["message m-11 could not be rescheduled: ReceiptHandleIsInvalid"]


class FakeSend:
    """The batch call that sends, which refuses these bodies."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused
        self.batches: list[list[str]] = []

    def __call__(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert QueueUrl == URL
        assert len({each["Id"] for each in Entries}) == len(Entries)
        self.batches.append([each["MessageBody"] for each in Entries])
        failed = [each["Id"] for each in Entries if each["MessageBody"] in self.refused]
        return {"Failed": [{"Id": each, "Code": "InternalError"} for each in reversed(failed)]} if failed else {}


def test_twenty_one_messages_are_sent_in_three_batches_in_their_order() -> None:
    send = FakeSend()
    bodies = [f"{number}" for number in range(21)]
    assert a_queue(send_message_batch=send).send(bodies) == []
    assert [len(batch) for batch in send.batches] == [10, 10, 1]
    assert [body for batch in send.batches for body in batch] == bodies


def test_the_bodies_that_sqs_did_not_take_are_returned() -> None:
    send = FakeSend("3", "7", "12")
    assert sorted(a_queue(send_message_batch=send).send([f"{number}" for number in range(21)])) == ["12", "3", "7"]


def test_without_bodies_no_call_is_made() -> None:
    assert a_queue().send([]) == []


def unavailable(**_: object) -> None:
    raise ClientError({"Error": {"Code": "ServiceUnavailable", "Message": "no"}}, "any")


def unreachable(**_: object) -> None:
    raise EndpointConnectionError(endpoint_url="https://sqs")


@pytest.mark.parametrize(
    ("fail", "words"), [(unavailable, "ServiceUnavailable"), (unreachable, "EndpointConnectionError")]
)
def test_a_call_that_fails_as_a_whole_names_each_message(fail: Any, words: str) -> None:
    queue = a_queue(delete_message_batch=fail, change_message_visibility_batch=fail)
    assert queue.delete(messages("x", "y")) == [f"message m-{i} could not be deleted: {words}" for i in (1, 2)]
    assert queue.set_visibility([(a_message(), 10)]) == [f"message m-1 could not be rescheduled: {words}"]


@pytest.mark.parametrize("fail", [unavailable, unreachable])
def test_a_call_that_fails_as_a_whole_returns_its_bodies_and_the_next_one_is_made(fail: Any) -> None:
    send = FakeSend()

    def first_fails(**call: Any) -> dict[str, Any]:
        if call["Entries"][0]["MessageBody"] == "0":
            fail()
        return send(**call)

    bodies = [f"{number}" for number in range(21)]
    assert a_queue(send_message_batch=first_fails).send(bodies) == bodies[:10]
    assert send.batches == [bodies[10:20], bodies[20:]]


def test_without_messages_no_call_is_made() -> None:
    assert a_queue().delete([]) == []
    assert a_queue().set_visibility([]) == []


@pytest.mark.parametrize(("most", "asked"), [(3, 3), (10, 10), (25, 10)])
def test_as_many_messages_are_received_as_asked_for_and_sqs_allows(most: int, asked: int) -> None:
    calls: list[dict[str, Any]] = []
    assert a_queue(receive_message=lambda **call: calls.append(call) or {}).receive(most) == []
    assert calls[0]["MaxNumberOfMessages"] == asked


def test_the_key_that_an_edited_message_replaces_is_read() -> None:
    attribute = {"ReplacesKey": {"StringValue": "k-0", "stringValue": "k-0", "DataType": "String"}}
    assert from_record(a_record(messageAttributes=attribute)).replaces_key == "k-0"

    def answer(*, MessageAttributeNames: list[str], **_: Any) -> dict[str, Any]:  # noqa: N803
        system = {"ApproximateReceiveCount": "4", "SentTimestamp": "1799999995500"}
        asked = {name: attribute[name] for name in MessageAttributeNames if name in attribute}
        return {
            "Messages": [
                {"MessageId": "m", "ReceiptHandle": "r", "Body": "b", "Attributes": system, "MessageAttributes": asked}
            ]
        }

    (received,) = a_queue(receive_message=answer).receive(10)
    assert received.replaces_key == "k-0"


def test_a_received_message_is_read() -> None:
    received = {
        "MessageId": "m-1",
        "ReceiptHandle": "r-1",
        "Body": "$AAPL up",
        "Attributes": {"ApproximateReceiveCount": "4", "SentTimestamp": "1799999995500"},
        "MessageAttributes": {"RelayKey": {"StringValue": "k-1", "DataType": "String"}},
    }
    bare = {name: value for name, value in received.items() if name != "MessageAttributes"}
    first, second = a_queue(receive_message=lambda **_: {"Messages": [received, bare]}).receive(10)
    assert first == QueueMessage("m-1", "$AAPL up", "r-1", 4, NOW - 4.5, "k-1")
    assert second.relay_key is None


@pytest.mark.parametrize(("number", "waiting"), [("0", False), ("1", True)])
def test_messages_wait_when_sqs_counts_any(number: str, waiting: bool) -> None:
    answer = {"Attributes": {"ApproximateNumberOfMessages": number}}
    assert a_queue(get_queue_attributes=lambda **_: answer).waiting() is waiting


def test_the_depth_counts_visible_messages_and_those_in_flight() -> None:
    def answer(*, QueueUrl: str, AttributeNames: list[str]) -> dict[str, Any]:  # noqa: N803
        counts = {"ApproximateNumberOfMessages": "2", "ApproximateNumberOfMessagesNotVisible": "3"}
        return {"Attributes": {name: counts[name] for name in AttributeNames}}

    assert a_queue(get_queue_attributes=answer).depth() == 5


class FakeDeadLetters:
    """Dead letters whose send call first fails with the given codes."""

    def __init__(self, *codes: str) -> None:
        self.codes = list(codes)
        self.sent: list[dict[str, Any]] = []

    def __call__(self, **call: Any) -> dict[str, Any]:
        self.sent.append(call)
        if self.codes:
            raise ClientError({"Error": {"Code": self.codes.pop(0), "Message": "no"}}, "SendMessage")
        return {"MessageId": "d-1"}

    def send(self, message: QueueMessage, reason: str = "too long", **but: Any) -> bool:
        return DeadLetters(lambda: SimpleNamespace(send_message=self), URL).send(message, reason, **but)

    @property
    def attributes(self) -> dict[str, str]:
        return {name: value["StringValue"] for name, value in self.sent[0]["MessageAttributes"].items()}


def test_a_dead_letter_is_the_unchanged_body_with_the_reason_beside_it() -> None:
    queue = FakeDeadLetters()
    body = ' {"body": "x"}\n'
    assert queue.send(a_message(body, receive_count=3), "too long", key="k-1", status=422) is True
    assert queue.sent[0]["QueueUrl"] == URL
    assert queue.sent[0]["MessageBody"] == body
    assert queue.attributes == {
        "RejectReason": "too long",
        "RelayKey": "k-1",
        "Attempts": "3",
        "FirstSeen": "2027-01-15T07:59:55Z",
        "StatusCode": "422",
    }


def test_a_dead_letter_of_an_edited_message_still_names_what_it_replaces() -> None:
    queue = FakeDeadLetters()
    queue.send(a_message(replaces_key="k-0"))
    assert queue.attributes["ReplacesKey"] == "k-0"


def test_without_a_status_there_is_no_status_attribute() -> None:
    queue = FakeDeadLetters()
    queue.send(a_message(), key="k-1")
    assert "StatusCode" not in queue.attributes


def test_without_a_key_there_is_no_key_attribute() -> None:
    queue = FakeDeadLetters()
    queue.send(a_message(), "no such day")
    assert queue.attributes.keys() == {"RejectReason", "Attempts", "FirstSeen"}


def test_a_reason_is_made_fit_for_an_attribute() -> None:
    queue = FakeDeadLetters()
    queue.send(a_message(), "line\nbreak\x00 \uffff\U0001f680" + "x" * 2000)
    assert queue.attributes["RejectReason"].startswith("line break   \U0001f680xxx")
    assert len(queue.attributes["RejectReason"]) == 1000


@pytest.mark.parametrize("code", ["InvalidParameterValue", "AWS.SimpleQueueService.MessageTooLong", "MessageTooLong"])
def test_a_body_that_leaves_no_space_for_the_reason_is_sent_without_it(code: str) -> None:
    queue = FakeDeadLetters(code)
    assert queue.send(a_message("x" * 1000)) is False
    assert queue.sent[1] == {"QueueUrl": URL, "MessageBody": "x" * 1000}


@pytest.mark.parametrize("code", ["AccessDenied", "AWS.SimpleQueueService.NonExistentQueue", "ServiceUnavailable"])
def test_an_error_that_is_not_about_the_size_is_raised(code: str) -> None:
    queue = FakeDeadLetters(code)
    with pytest.raises(ClientError):
        queue.send(a_message())
    assert len(queue.sent) == 1


def test_a_body_that_is_refused_even_without_the_reason_is_not_sent() -> None:
    with pytest.raises(ClientError):
        FakeDeadLetters("InvalidParameterValue", "InvalidParameterValue").send(a_message())
