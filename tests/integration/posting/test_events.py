"""The sample events: complete, with correct checksums, and delivered or fetched as their names say."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.backups import BackupsWorld
from tests.worlds.functions import Function
from tests.worlds.posting import PostingWorld
from tests.worlds.runs import Run
from tests.worlds.webhook import WebhookWorld, answered

FILES = [path for path in (Path(__file__).parents[3] / "events").glob("*.json") if path.stem != "env"]
EVENTS = {path.stem: json.loads(path.read_text()) for path in FILES}
RECORDS = [(name, record) for name, event in EVENTS.items() for record in event.get("Records", [])]
PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"

OUTCOMES = {
    "plain_text": ["posted"],
    "json_sentiment": ["posted"],
    "reply": ["posted"],
    "chart_s3": ["posted"],
    "chart_url": ["posted"],
    "sns_notification": ["posted"],
    "eventbridge_event": ["posted"],
    "duplicate_key": ["posted", "already_posted"],
    "invalid": ["rejected"],
    "mixed_batch": ["posted", "posted", "rejected", "posted", "posted"],
}

FETCHED = {"backup_requests": ["stored"], "backup_requests_mixed": ["stored", "failed", "failed"]}


@pytest.fixture
def deliver(world: PostingWorld, outbox: Function) -> Callable[[str], Run]:
    def handle(name: str) -> Run:
        world.s3.put_object(Bucket="stocktwits-relay-charts", Key="aapl.png", Body=PNG)
        return outbox.invoke(EVENTS[name])

    return handle


def test_every_sample_event_is_tested_here() -> None:
    assert EVENTS.keys() == OUTCOMES.keys() | FETCHED.keys() | {
        "drain_schedule",
        "nightly_schedule",
        "backfill",
        "webhook_alert",
    }


@pytest.mark.parametrize(("name", "record"), RECORDS, ids=[name for name, _ in RECORDS])
def test_a_record_is_complete_and_its_checksum_is_correct(name: str, record: dict[str, Any]) -> None:
    assert record.keys() == {
        "messageId",
        "receiptHandle",
        "body",
        "attributes",
        "messageAttributes",
        "md5OfBody",
        "eventSource",
        "eventSourceARN",
        "awsRegion",
    }
    assert record["attributes"].keys() == {
        "ApproximateReceiveCount",
        "SentTimestamp",
        "SenderId",
        "ApproximateFirstReceiveTimestamp",
    }
    assert record["md5OfBody"] == hashlib.md5(record["body"].encode()).hexdigest()
    assert record["eventSource"] == "aws:sqs"
    queue = "backup-requests" if name in FETCHED else "outbox"
    assert record["eventSourceARN"] == f"arn:aws:sqs:us-east-1:123456789012:stocktwits-relay-{queue}"
    assert record["awsRegion"] == "us-east-1"


def test_no_two_records_are_the_same_message() -> None:
    for unique in ("messageId", "receiptHandle"):
        assert len({record[unique] for _, record in RECORDS}) == len(RECORDS)


@pytest.mark.parametrize("name", OUTCOMES)
def test_an_event_is_delivered_as_its_name_says(world: PostingWorld, deliver: Callable[[str], Run], name: str) -> None:
    run = deliver(name)
    assert (run.outcomes, run.answer) == (OUTCOMES[name], {"batchItemFailures": []})
    assert len(world.posted) == OUTCOMES[name].count("posted")
    letters = [body for body, _ in world.dead_letters()]
    rejected = OUTCOMES[name].index("rejected") if "rejected" in OUTCOMES[name] else None
    assert letters == ([] if rejected is None else [EVENTS[name]["Records"][rejected]["body"]])


def test_all_events_can_be_posted_in_turn_because_their_texts_differ(
    world: PostingWorld, deliver: Callable[[str], Run]
) -> None:
    world.stand_in.configure(near_identical=True)
    for name, outcomes in OUTCOMES.items():
        assert deliver(name).outcomes == outcomes


def test_the_fields_of_the_events_are_posted(world: PostingWorld, deliver: Callable[[str], Run]) -> None:
    for name in ("json_sentiment", "reply", "chart_s3", "chart_url"):
        deliver(name)
    bullish, reply, uploaded, linked = world.stand_in.posts
    assert (bullish.sentiment, reply.in_reply_to, linked.sentiment) == ("bullish", 553190114, "bearish")
    assert uploaded.chart
    assert linked.chart
    assert (uploaded.chart.content, uploaded.chart.type) == (PNG, "image/png")
    assert (linked.chart.url, linked.chart.content) == ("https://example.com/charts/btc-4h.png", b"")


def test_the_schedules_event_drains_leftovers(world: PostingWorld, leftovers: Function) -> None:
    leftovers.send("$AAPL one")
    assert leftovers.invoke(EVENTS["drain_schedule"]).answer == {"done": 1, "left": 0}
    assert world.posted == ["$AAPL one"]


@pytest.mark.parametrize("name", FETCHED)
def test_requests_are_fetched_as_their_names_say(backups: BackupsWorld, name: str) -> None:
    run = backups.invoke(EVENTS[name])
    assert (run.outcomes, run.answer) == (FETCHED[name], {"batchItemFailures": []})
    assert [key.partition("/")[2][:10] for key in backups.listing()] == ["2016/12/05"]
    bodies = [record["body"] for record in EVENTS[name]["Records"]]
    assert [body for body, _ in backups.dead_letters()] == bodies[1:]


def test_the_mixed_requests_are_a_valid_one_one_that_is_not_json_and_one_of_an_unknown_type(
    backups: BackupsWorld,
) -> None:
    run = backups.invoke(EVENTS["backup_requests_mixed"])
    _, not_json, unknown = (line["reason"] for line in run.backups)
    assert not_json.startswith("the request is not JSON: ")
    assert unknown == "file_type: 'symbol' is none of activity, message"


def test_the_nightly_schedules_event_fetches_the_last_week(backups: BackupsWorld) -> None:
    assert backups.invoke(EVENTS["nightly_schedule"]).answer["stored"] == 14


def test_the_backfill_requests_a_month_of_both_types(backups: BackupsWorld) -> None:
    assert backups.invoke(EVENTS["backfill"]).answer["queued"] == 31 * 2


def test_the_request_to_the_webhook_becomes_a_post(webhook: WebhookWorld) -> None:
    event = EVENTS["webhook_alert"]
    secret = webhook.add(event["pathParameters"]["source"])
    assert answered(webhook.invoke(event))[0] == 404
    webhook.posting.clock.forward(5)
    assert answered(webhook.invoke(event | {"pathParameters": event["pathParameters"] | {"secret": secret}}))[0] == 202
    assert webhook.posts() == ["$AAPL crosses 250 on the daily chart"]
