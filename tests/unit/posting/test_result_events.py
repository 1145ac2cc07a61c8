"""Result events: which outcomes are announced, in batches that fit, tried twice and never at a post's cost."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from jsonschema import Draft202012Validator
from relay.aws import AWS_CONFIG, EVENTS_CONFIG
from relay.posting.batch import RESERVE_SECONDS
from relay.posting.outcome import Outcome, Result
from relay.posting.result_events import ATTEMPTS, NEEDED_SECONDS, ResultEvents, schema
from relay.queue_message import QueueMessage

from tests.factories import a_message, a_pause, published

PUBLISHED = Path(__file__).parents[3] / "docs" / "result-events.schema.json"
PLENTY = 60.0

Delivered = tuple[QueueMessage, Outcome]
Answer = Callable[[Sequence[Any]], dict[str, Any]]


def accepted(entries: Sequence[Any]) -> dict[str, Any]:
    return {"FailedEntryCount": 0, "Entries": [{"EventId": "e"} for _ in entries]}


def refusing(*positions: int) -> Answer:
    """An answer in which the entries at these positions failed."""

    def answer(entries: Sequence[Any]) -> dict[str, Any]:
        results = [
            {"ErrorCode": "InternalFailure"} if i in positions else {"EventId": "e"} for i in range(len(entries))
        ]
        return {"FailedEntryCount": len(positions), "Entries": results}

    return answer


def raising(error: Exception) -> Answer:
    def answer(_: Sequence[Any]) -> dict[str, Any]:
        raise error

    return answer


class FakeBus:
    """EventBridge's client, with planned answers."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.calls: list[list[Any]] = []

    def put_events(self, *, Entries: Sequence[Any]) -> dict[str, Any]:  # noqa: N803
        self.calls.append(list(Entries))
        return (self.answers.pop(0) if self.answers else accepted)(Entries)

    def put(self, delivered: Sequence[Delivered], seconds_left: float = PLENTY) -> list[str]:
        return ResultEvents(lambda: self, "results").put(delivered, lambda: seconds_left)

    def keys(self) -> list[list[str]]:
        return [[json.loads(entry["Detail"])["key"] for entry in call] for call in self.calls]


def posted(number: int) -> Delivered:
    outcome = Outcome(Result.POSTED, f"k-{number}", published=published(number), text="$AAPL up")
    return a_message(id=f"m-{number}"), outcome


def an_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "of no use"}}, "PutEvents")


def test_the_published_schema_is_the_codes_own() -> None:
    Draft202012Validator.check_schema(schema())
    assert PUBLISHED.read_text(encoding="utf-8") == json.dumps(schema(), indent=2) + "\n"


def test_the_documents_example_is_an_event_of_the_schema() -> None:
    page = PUBLISHED.with_name("result-events.md").read_text(encoding="utf-8")
    (example,) = [part.partition("```")[0] for part in page.split("```json")[1:]]
    assert Draft202012Validator(schema()).is_valid(json.loads(example))


def test_every_field_of_a_detail_has_a_description() -> None:
    fields = schema()["properties"]["detail"]["properties"]
    assert [name for name, each in fields.items() if not each.get("description")] == []
    assert set(schema()["properties"]["detail"]["required"]) == set(fields)


def test_a_post_is_announced_with_its_id_and_page() -> None:
    bus = FakeBus()
    assert bus.put([posted(7)]) == []
    ((entry,),) = bus.calls
    assert (entry["EventBusName"], entry["Source"], entry["DetailType"]) == (
        "results",
        "stocktwits-relay",
        "Post Succeeded",
    )
    assert json.loads(entry["Detail"]) == {
        "key": "k-7",
        "text": "$AAPL up",
        "stocktwits_id": 7,
        "url": "https://stocktwits.com/relay_demo/message/7",
        "reason": "",
        "status_code": None,
        "message_id": "m-7",
        "queued_at": "2027-01-15T07:59:55.000Z",
        "attempts": 1,
    }


def test_a_rejection_is_announced_with_its_reason() -> None:
    bus = FakeBus()
    bus.put([(a_message(receive_count=3), Outcome(Result.REJECTED, "k", "too long", status=422))])
    ((entry,),) = bus.calls
    detail = json.loads(entry["Detail"])
    assert entry["DetailType"] == "Post Rejected"
    assert (detail["reason"], detail["status_code"], detail["attempts"]) == ("too long", 422, 3)
    assert (detail["stocktwits_id"], detail["url"], detail["text"]) == (None, None, "")


def test_an_alert_that_the_ledger_has_as_posted_is_announced_again() -> None:
    bus = FakeBus()
    bus.put([(a_message(), Outcome(Result.ALREADY_POSTED, "k", published=published()))])
    assert bus.calls[0][0]["DetailType"] == "Post Succeeded"


@pytest.mark.parametrize(
    "outcome", [Outcome(Result.DEFERRED, "k", pause=a_pause()), Outcome(Result.DRY_RUN, "k")], ids=["deferred", "dry"]
)
def test_an_outcome_that_is_not_final_or_of_a_dry_run_is_not_announced(outcome: Outcome) -> None:
    bus = FakeBus()
    assert (bus.put([(a_message(), outcome)]), bus.calls) == ([], [])


def test_a_client_is_not_made_before_there_is_an_event_to_put() -> None:
    def made() -> FakeBus:
        raise AssertionError("a client was made")

    assert ResultEvents(made, "results").put([], lambda: PLENTY) == []


def test_events_are_put_ten_at_a_time_in_their_order() -> None:
    bus = FakeBus()
    bus.put([posted(number) for number in range(23)])
    assert bus.keys() == [[f"k-{i}" for i in range(10)], [f"k-{i}" for i in range(10, 20)], ["k-20", "k-21", "k-22"]]


def test_ten_events_of_the_longest_texts_and_reasons_fit_one_call() -> None:
    bus = FakeBus()
    outcome = Outcome(Result.REJECTED, "🐂" * 256, "🐂" * 5000, status=422, text="🐂" * 1000)
    bus.put([(a_message(), outcome)] * 10)
    (call,) = bus.calls
    assert len(json.loads(call[0]["Detail"])["reason"]) == 1000
    assert sum(len(value.encode()) for entry in call for value in entry.values()) < 256 * 1024


def test_only_what_failed_is_put_again() -> None:
    bus = FakeBus(refusing(1), accepted)
    assert bus.put([posted(1), posted(2), posted(3)]) == []
    assert bus.keys() == [["k-1", "k-2", "k-3"], ["k-2"]]


def test_what_failed_twice_is_named_and_given_up() -> None:
    bus = FakeBus(refusing(0, 2), refusing(1))
    assert bus.put([posted(1), posted(2), posted(3)]) == [
        "the result event of message m-3 could not be put on results: InternalFailure"
    ]
    assert bus.keys() == [["k-1", "k-2", "k-3"], ["k-1", "k-3"]]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (an_error("AccessDeniedException"), "AccessDeniedException"),
        (ReadTimeoutError(endpoint_url="https://events"), "ReadTimeoutError"),
        (RuntimeError("a secret"), "RuntimeError"),
    ],
    ids=["refused", "silent", "a defect"],
)
def test_whatever_a_call_raises_is_returned_for_each_of_its_events(error: Exception, code: str) -> None:
    bus = FakeBus(raising(error), raising(error))
    assert bus.put([posted(1), posted(2)]) == [
        f"the result event of message m-{number} could not be put on results: {code}" for number in (1, 2)
    ]
    assert len(bus.calls) == 2


def test_a_client_that_cannot_be_made_costs_only_its_events() -> None:
    def broken() -> FakeBus:
        raise RuntimeError

    assert ResultEvents(broken, "results").put([posted(1)], lambda: PLENTY) == [
        "the result event of message m-1 could not be put on results: RuntimeError"
    ]


def test_the_failure_of_one_batch_does_not_keep_the_next_from_the_bus() -> None:
    bus = FakeBus(raising(an_error("ThrottlingException")), raising(an_error("ThrottlingException")), accepted)
    lost = bus.put([posted(number) for number in range(12)])
    assert len(lost) == 10
    assert bus.keys()[-1] == ["k-10", "k-11"]


def test_without_time_for_it_nothing_is_put() -> None:
    bus = FakeBus()
    assert bus.put([posted(1)], seconds_left=NEEDED_SECONDS - 0.1) == [
        "the result event of message m-1 could not be put on results: no time was left"
    ]
    assert bus.calls == []
    assert bus.put([posted(1)], seconds_left=NEEDED_SECONDS) == []


def test_putting_a_batch_takes_less_time_than_must_be_left_for_it() -> None:
    attempt = (EVENTS_CONFIG.connect_timeout + EVENTS_CONFIG.read_timeout) * EVENTS_CONFIG.retries["total_max_attempts"]
    assert ATTEMPTS * attempt < NEEDED_SECONDS < RESERVE_SECONDS
    assert AWS_CONFIG.retries["total_max_attempts"] == 3
