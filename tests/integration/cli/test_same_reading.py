"""`relay send` and `relay dead` read messages as the functions do: the same alert, the same key, the same reasons."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from relay.posting.backoff import LEFTOVERS_RECEIVES

from tests.worlds.cli import DONE, FAILED, NO_AWS, USAGE, CliHarness, losing_the_answer
from tests.worlds.functions import Leftovers, Outbox
from tests.worlds.posting import TABLE, PostingWorld

TEXT = "Up 3% on twice the usual volume $AAPL"
OBJECT = json.dumps({"body": TEXT})


@pytest.fixture
def cli(world: PostingWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliHarness:
    cli = CliHarness(world, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return cli


def event(detail: object, event_id: str = "e-1") -> str:
    """An EventBridge event."""
    return json.dumps({"id": event_id, "detail-type": "alert", "source": "scanner", "detail": detail})


def notification(message: str, message_id: str = "n-1", relay_key: str | None = None) -> str:
    """An SNS notification."""
    attributes = {"MessageAttributes": {"RelayKey": {"Type": "String", "Value": relay_key}}} if relay_key else {}
    envelope = {"Type": "Notification", "TopicArn": "arn", "MessageId": message_id, "Message": message}
    return json.dumps(envelope | attributes)


# What they take

TAKEN = [
    OBJECT,
    f"\ufeff{OBJECT}",
    f"\u200b{OBJECT}",
    f"ï»¿{OBJECT}",
    f"```json {OBJECT}```",
    event({"body": TEXT}),
    event(TEXT),
    notification(TEXT),
    notification(event({"body": TEXT})),
    notification(f"```json\n{OBJECT}\n```"),
    json.dumps({"body": TEXT, "expires_at": "2100-01-01 00:00+00[UTC]"}),
]


@pytest.mark.parametrize("line", TAKEN)
def test_send_takes_what_the_functions_take(cli: CliHarness, world: PostingWorld, outbox: Outbox, line: str) -> None:
    assert cli("send", "--from", "-", typed=line).code == DONE
    assert outbox.run().outcomes == ["posted"]
    assert world.posted == [TEXT]


@pytest.mark.parametrize("body", [*TAKEN, TEXT, f"```json\n{OBJECT}\n```"])
def test_a_dead_letter_shows_the_text_that_the_functions_read(cli: CliHarness, body: str) -> None:
    cli.add_dead_letter(body, RejectReason="it expired")
    (letter,) = cli("dead", "list", "--json").json
    assert (letter["text"], letter["body"]) == (TEXT, body)


# What they refuse


@pytest.mark.parametrize(
    "line",
    [
        f"'{OBJECT}'",
        json.dumps(OBJECT),
        f"b'{OBJECT}'",
        base64.b64encode(OBJECT.encode()).decode(),
        "{'body': 'Up 3% $AAPL'}",
        "{body: Up 3% $AAPL}",
        "{{alert}}",
        "NaN",
        "[object Object]",
        '"$AAPL is up"',
        "[1]",
        "\ufeff",
        json.dumps({"body": "Up {{percent}} $AAPL"}),
        json.dumps({"body": "\u200b"}),
        json.dumps({"body": TEXT, "key": "undefined"}),
        json.dumps({"body": TEXT, "expires_at": "2026-11-21T16:00:00"}),
        json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}),
        json.dumps(["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": "b", "s3Key": "k"}]),
        event({"body": TEXT, "ticker": "AAPL"}),
        notification(TEXT, relay_key="None"),
        notification(TEXT, "n" * 257),
    ],
)
def test_send_refuses_what_the_functions_refuse_for_the_same_reason(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, line: str
) -> None:
    result = cli("send", "--from", "-", typed=line)
    assert (result.code, world.count(world.outbox)) == (USAGE, 0)
    outbox.send(line)
    assert f"line 1: {outbox.run().reason}\n" in result.err


def test_a_line_of_plain_text_is_refused_although_the_functions_would_post_it(cli: CliHarness) -> None:
    result = cli("send", "--from", "-", typed=TEXT)
    assert (result.code, "line 1: it is not a JSON object such as" in result.err) == (USAGE, True)


@pytest.mark.parametrize("text", [OBJECT, f" {OBJECT}", f"\ufeff{OBJECT}", f"```{OBJECT}```"])
def test_a_text_that_is_a_message_in_json_is_refused_with_the_option_for_it(cli: CliHarness, text: str) -> None:
    result = cli("send", text)
    assert (result.code, "The text is JSON: pipe it to `relay send -`" in result.err) == (USAGE, True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{ticker} is up", "the text has the placeholder {ticker}, which nobody replaced"),
        ("{'body': 'Up 3% $AAPL'}", "the text is a dictionary as Python prints it: use json.dumps"),
        ("NaN", "the text is NaN: the value was missing when the message was made"),
    ],
)
def test_what_is_not_an_alert_is_refused_for_the_functions_reason(cli: CliHarness, text: str, reason: str) -> None:
    result = cli("send", text)
    assert (result.code, result.err) == (USAGE, f"relay: The message is invalid: {reason}.\n")


# Keys


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (event({"body": TEXT}), "e-1"),
        (event({"body": TEXT, "key": "k"}), "k"),
        (notification(TEXT), "n-1"),
        (notification(TEXT, relay_key="r"), "r"),
        (notification(event({"body": TEXT})), "e-1"),
        (notification(event({"body": TEXT}), relay_key="r"), "r"),
        (notification(event({"body": TEXT, "key": "k"}), relay_key="r"), "k"),
    ],
)
def test_send_gives_a_message_the_key_that_it_has_without_send(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, line: str, key: str
) -> None:
    outbox.send(line)
    assert outbox.run().deliveries[0]["key"] == key
    result = cli("send", "--from", "-", typed=line)
    assert f"with the key {key}." in result.out
    world.clock.forward(0.001)
    assert outbox.run().outcomes == ["already_posted"]
    assert world.posted == [TEXT]


def test_of_two_lines_with_one_envelope_one_is_posted(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    cli("send", "--from", "-", typed=f"{notification(TEXT)}\n{notification(TEXT)}")
    assert sorted(outbox.run().outcomes) == ["already_posted", "posted"]
    assert world.posted == [TEXT]


@pytest.mark.parametrize("line", [OBJECT, event({"body": TEXT}), notification(TEXT), notification(TEXT, relay_key="r")])
def test_a_line_whose_answer_was_lost_is_posted_once_by_what_was_kept_of_it(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, line: str
) -> None:
    cli.plan("SendMessageBatch", losing_the_answer(world))
    assert cli("send", "--from", "-", typed=line).code == NO_AWS
    assert cli("send", "--from", "relay.unsent.jsonl").code == DONE
    world.clock.forward(0.001)
    assert sorted(outbox.run().outcomes) == ["already_posted", "posted"]
    assert world.posted == [TEXT]


def test_of_two_lines_with_one_key_the_one_that_sqs_did_not_take_is_kept(cli: CliHarness, tmp_path: Path) -> None:
    def refusing_the_second(call: dict[str, Any]) -> dict[str, Any]:
        one, two = (each["Id"] for each in call["Entries"])
        return {
            "Successful": [{"Id": one, "MessageId": "an-id", "MD5OfMessageBody": ""}],
            "Failed": [{"Id": two, "SenderFault": True, "Code": "Planned"}],
        }

    cli.plan("SendMessageBatch", refusing_the_second)
    cli("send", "--from", "-", typed=f"{notification(TEXT)}\n{notification('another $A')}")
    (kept,) = map(json.loads, (tmp_path / "relay.unsent.jsonl").read_text().splitlines())
    assert kept == {"body": "another $A", "key": "n-1"}


def test_wait_finds_what_was_posted_under_the_id_of_the_envelope(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    outbox.send(event({"body": TEXT}))
    outbox.run()
    result = cli("send", "--from", "-", "--wait", typed=event({"body": TEXT}))
    assert (result.code, "posted http://" in result.out) == (DONE, True)


def test_wait_does_not_take_another_messages_rejection_under_the_same_envelope_for_this_ones(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.post_elsewhere(TEXT)
    outbox.send(event({"body": TEXT}))
    assert outbox.run().outcomes == ["rejected"]
    cli.meanwhile = [lambda: world.clock.forward(3600), outbox.run]
    result = cli("send", "--from", "-", "--wait", "--wait-for", "2h", typed=event({"body": TEXT}))
    assert (result.code, "posted http://" in result.out) == (DONE, True)


@pytest.mark.parametrize(
    ("options", "used_for"),
    [
        (["another $A"], "another text"),
        ([TEXT, "--sentiment", "bearish"], "this text with another sentiment, reply or chart"),
        ([TEXT, "--reply-to", "7"], "this text with another sentiment, reply or chart"),
    ],
)
def test_wait_reports_for_what_else_a_key_was_used_in_the_functions_words(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, options: list[str], used_for: str
) -> None:
    cli("send", TEXT, "--key", "k1")
    outbox.run()
    result = cli("send", *options, "--key", "k1", "--wait")
    reason = f"its key 'k1' was already used for {used_for}: give every alert a key of its own"
    assert (result.code, f"rejected {reason}\n" in result.out) == (FAILED, True)
    assert outbox.run().reason == reason


def test_wait_follows_the_same_text_with_another_sentiment_to_which_a_rejected_message_left_its_key(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.post_elsewhere(TEXT)
    cli("send", TEXT, "--key", "k1")
    assert outbox.run().outcomes == ["rejected"]
    cli.meanwhile = [lambda: world.clock.forward(3600), outbox.run]
    result = cli("send", TEXT, "--sentiment", "bullish", "--key", "k1", "--wait", "--wait-for", "2h")
    assert (result.code, "posted http://" in result.out) == (DONE, True)


def test_wait_knows_an_entry_of_version_0_1_without_the_second_fingerprint(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    cli("send", TEXT, "--key", "k1")
    outbox.run()
    world.dynamodb.update_item(TableName=TABLE, Key={"pk": {"S": "post#k1"}}, UpdateExpression="REMOVE alert_sha256")
    result = cli("send", TEXT, "--sentiment", "bullish", "--key", "k1", "--wait")
    assert (result.code, "posted http://" in result.out) == (DONE, True)


# Dead letters sent again


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (event({"body": TEXT}), "e-1"),
        (notification(TEXT), "n-1"),
        (notification(TEXT, relay_key="r"), "r"),
        (json.dumps({"body": TEXT, "key": "k"}), "k"),
    ],
)
def test_a_letter_that_sqs_moved_is_retried_under_the_key_of_its_attempts(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, body: str, key: str
) -> None:
    outbox.send(body)
    world.stand_in.fail("close-after")
    assert outbox.run().outcomes == ["deferred"]
    cli.add_dead_letter(body)
    assert f"key {key}\n" in cli("dead", "list").out
    assert f"with its key {key}." in cli("dead", "retry", "--all").out
    world.clock.forward(600)
    assert sorted(outbox.run().outcomes) == ["already_posted", "posted"]
    assert (world.posted, len(world.publishes)) == ([TEXT], 1)


@pytest.mark.parametrize("body", [TEXT, OBJECT, event({"body": TEXT}), notification(TEXT)])
def test_a_letter_of_the_relay_is_retried_under_the_key_of_its_attempts(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, leftovers: Leftovers, body: str
) -> None:
    leftovers.send(body)
    world.receive_times(leftovers.queue, LEFTOVERS_RECEIVES - 1)
    world.stand_in.fail("close-after")
    assert leftovers.run().outcomes == ["rejected"]
    world.clock.forward(600)
    assert "the relay checks the account's stream first" in cli("dead", "retry", "--all").out
    world.clock.forward(0.001)
    assert outbox.run().outcomes == ["posted"]
    assert (world.posted, len(world.publishes)) == ([TEXT], 1)


def moved(cli: CliHarness, body: str) -> None:
    """Let the next reading of Dead letters find a message that SQS moved there; moto does not say where from."""
    system = {
        "ApproximateReceiveCount": "201",
        "SentTimestamp": "1795273200000",
        "DeadLetterQueueSourceArn": "arn:aws:sqs:us-east-1:123456789012:stocktwits-relay-leftovers",
    }
    letter = {"MessageId": "sqs-1", "ReceiptHandle": "a receipt", "Body": body, "Attributes": system}
    cli.plan("ReceiveMessage", lambda _: {"Messages": [letter]}, lambda _: {})


def test_a_letter_that_version_0_1_knew_by_its_sqs_id_is_retried_under_that(
    cli: CliHarness, world: PostingWorld
) -> None:
    world.dynamodb.put_item(TableName=TABLE, Item={"pk": {"S": "post#sqs-1"}, "status": {"S": "unknown"}})
    moved(cli, event({"body": TEXT}))
    cli("dead", "retry", "--all")
    (sent,) = world.receive(world.outbox)
    assert sent["MessageAttributes"]["RelayKey"]["StringValue"] == "sqs-1"


def test_a_letter_stays_when_nobody_can_say_under_which_key_it_was_tried(cli: CliHarness, world: PostingWorld) -> None:
    moved(cli, event({"body": TEXT}))
    cli.plan("BatchGetItem", "AccessDeniedException")
    result = cli("dead", "retry", "--all")
    assert (result.code, world.count(world.outbox)) == (NO_AWS, 0)
    assert "sqs-1 stays in Dead letters: AWS does not allow you to call BatchGetItem" in result.err


def test_a_letter_stays_when_the_ledger_is_too_busy(cli: CliHarness, world: PostingWorld) -> None:
    moved(cli, event({"body": TEXT}))
    cli.plan("BatchGetItem", lambda sent: {"Responses": {TABLE: []}, "UnprocessedKeys": sent["RequestItems"]})
    result = cli("dead", "retry", "--all")
    assert (result.code, world.count(world.outbox)) == (FAILED, 0)
    assert "sqs-1 stays in Dead letters. The ledger is too busy. Try again." in result.err
