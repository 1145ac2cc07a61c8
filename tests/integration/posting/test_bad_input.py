"""Unusual and invalid messages: each is posted unchanged or moved to Dead letters, and affects no other message."""

import json
from typing import Any

import pytest

from tests.worlds.functions import Function
from tests.worlds.posting import PostingWorld

BEFORE, AFTER = "$AAPL before", "$MSFT after"
CHART = "s3://stocktwits-relay-charts/"
MAX_SQS_BYTES = 1_048_576


def message(**fields: Any) -> str:
    return json.dumps({"body": "$TSLA crosses 400", **fields})


def sns(text: str, kind: str = "Notification") -> str:
    return json.dumps({"Type": kind, "TopicArn": "arn:aws:sns:us-east-1:123456789012:alerts", "Message": text})


def eventbridge(detail: Any) -> str:
    return json.dumps({"detail-type": "alert", "source": "com.example", "detail": detail})


UNREADABLE = {
    "white space": (" \t\r\n ", "the message is empty"),
    "byte order mark": ("\ufeff", "the message is empty"),
    "broken JSON": ('{"body": ', "begins like a JSON object but cannot be read"),
    "JSON and more": ('{"body": "x"} and more', "begins like a JSON object but cannot be read"),
    "list": ('["$TSLA"]', "a list: send plain text, or a JSON object with a body"),
    "number": ("42", "a number"),
    "null": ("null", "null"),
    "boolean": ("true", "a boolean"),
    "quoted text": ('"$TSLA"', "a string"),
    "single quotes around JSON, of cmd.exe": ("'" + message(key="k1") + "'", "is JSON in quotes"),
    "typographic quotes around JSON": ("\u201c" + message() + "\u201d", "is JSON in quotes"),
    "JSON encoded twice": (json.dumps(message()), "a string with JSON in it, so it was encoded twice"),
    "Python's bytes": ("b'" + message() + "'", "is JSON in quotes"),
    "Python's dictionary": ("{'body': '$TSLA'}", "it is a dictionary as Python prints it"),
    "Base64 of JSON": ("eyJib2R5IjogIiRUU0xBIGNyb3NzZXMgNDAwIn0=", "is Base64: send what was encoded"),
    "JSON for HTML": ("{&quot;body&quot;: &quot;$TSLA&quot;}", "it is JSON whose quotes were escaped once too often"),
    "JSON for a URL": ("%7B%22body%22%3A%22%24TSLA%22%7D", "is URL-encoded"),
    "form": ("body=%24TSLA&key=k1", "is a form"),
    "code fence around a text": ("```\n$TSLA\n```", "begins with a code fence"),
    "code fence after words": ("Sure!\n```json\n" + message() + "\n```", "has an object with a body in it"),
    "JSON in the body": (message(body=message()), "body: is a JSON object itself"),
    "lines in quotes, of EventBridge": (
        '"$TSLA crosses 400"\n"Up 3%"',
        "is in quotes, as EventBridge's",
    ),
    "NaN": ("NaN", "is NaN: the value was missing"),
    "None": ("None", "is None: the value was missing"),
    "undefined": ("undefined", "is undefined: the value was missing"),
    "undefined in the body": (message(body="undefined"), "body: is undefined: the value was missing"),
    "JavaScript's object": ("[object Object]", "has the placeholder [object Object]"),
    "placeholder": ("$TSLA crosses {{close}}", "has the placeholder {{close}}, which nobody replaced"),
    "placeholder in front": ("{symbol} crosses 400", "it has the placeholder {symbol}, which nobody replaced"),
    "placeholder in the key": (message(key="high-${symbol}"), "key: has the placeholder ${symbol}"),
    "undefined for a key": (message(key="undefined"), "key: is undefined"),
    "zero-width": ("\u200b\u2060", "body: has no character that can be seen"),
    "Hangul filler": (message(body="\u3164"), "body: has no character that can be seen"),
    "no-break entities": ("&nbsp;&#8203;", "body: has no character that can be seen"),
    "pointer of the SQS extended client": (
        '["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":"k"}]',
        "a pointer to a message in S3",
    ),
    "test event of S3": ('{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}', "the test event of S3"),
    "event of S3": ('{"Records":[{"eventSource":"aws:s3","s3":{}}]}', "an event of S3 about objects"),
    "event of Lambda": ('{"Records":[{"messageId":"m","body":"$TSLA"}]}', "an event of aws:sqs, passed on whole"),
    "alarm of CloudWatch in SNS": (sns('{"AlarmName":"a","NewStateValue":"ALARM"}'), "a CloudWatch alarm"),
    "no fields": ("{}", "missing required field `body`"),
    "unknown field": (message(sentimnet="bullish"), "unknown field `sentimnet`"),
    "blank body": (message(body=" \n "), "body: is empty"),
    "body is a number": (message(body=5), "body: Expected `str`, got `int`"),
    "body is null": (message(body=None), "body: Expected `str`, got `null`"),
    "reply to text": (message(in_reply_to_message_id="7"), "in_reply_to_message_id: Expected `int"),
    "reply to zero": (message(in_reply_to_message_id=0), "in_reply_to_message_id: Expected `int` >= 1"),
    "reply to true": (message(in_reply_to_message_id=True), "in_reply_to_message_id: Expected `int"),
    "unknown sentiment": (message(sentiment="hopeful"), "sentiment: Invalid enum value 'hopeful'"),
    "sentiment is a list": (message(sentiment=["bullish"]), "sentiment: Expected `str"),
    "key is a number": (message(key=7), "key: Expected `str"),
    "key is empty": (message(key=""), "key: Expected `str` of length >= 1"),
    "key is long": (message(key="k" * 257), "key: Expected `str` of length <= 256"),
    "key that no queue can carry": (message(key="k\uffff"), "key: has the control character U+FFFF at position 2"),
    "key has a control character": (message(key="k\0"), "key: has the control character U+0000 at position 2"),
    "1001 characters": ("x" * 1001, "the body has 1001 characters"),
    "1001 with links": ("https://a.io/ " * 2 + "x" * 953, "the body has 1001 characters"),
    "1001 with angle brackets": ("<" + "x" * 997, "the body has 1001 characters"),
    "1001 with a chart": (message(body="x" * 977, chart="https://a.io/c.png"), "the body has 1001 characters"),
    "256 KB": ("x" * 262_144, "the body has 262144 characters"),
    "NUL": (message(body="a\0b"), "body: has the control character U+0000 at position 2"),
    "bell": (message(body="\a"), "body: has the control character U+0007 at position 1"),
    "escape": (message(body="\x1b[31mred"), "body: has the control character U+001B at position 1"),
    "next line": (message(body="a\x85b"), "body: has the control character U+0085 at position 2"),
    "half a surrogate pair": ('{"body": "a\\ud83d b"}', "cannot be read"),
    "expired": (message(expires_at="2026-11-21T14:59:59Z"), "it expired at 2026-11-21T14:59:59+00:00"),
    "expires without a zone": (message(expires_at="2026-11-21T16:00:00"), "expires_at: must be ISO 8601 with a zone"),
    "expires by a zone's name": (
        message(expires_at="2026-11-21T16:00:00[Europe/Berlin]"),
        "expires_at: must be ISO 8601 with a zone, as in 2026-11-21T16:00:00Z: it has no zone: add the offset from UTC",
    ),
    "expires in two zones": (
        message(expires_at="2026-11-21T16:00:00+05:00[Europe/Berlin]"),
        "the zone in brackets contradicts the offset",
    ),
    "expired, in another form": (message(expires_at="20261121T145959Z"), "it expired at 2026-11-21T14:59:59+00:00"),
    "expires some day": (message(expires_at="tomorrow"), "expires_at: must be ISO 8601 with a zone"),
    "expires as a number": (message(expires_at=1795273200), "expires_at: Expected `"),
    "chart from a file": (message(chart="file:///etc/passwd"), "chart: must be an https:// URL, or s3://bucket/key"),
    "chart without TLS": (message(chart="http://a.io/c.png"), "chart: must be an https:// URL, or s3://bucket/key"),
    "chart from another bucket": (
        message(chart="s3://others/c.png"),
        "chart: the relay may not read from bucket others",
    ),
    "chart whose name no object can have": (message(chart=CHART + "x" * 1900), "chart: there is no object 'xxx"),
    "chart of 3 MB": (message(chart=CHART + "large.png"), "chart: 3000000 bytes, but it must be under 2000000"),
    "chart of 2 MB": (message(chart=CHART + "limit.png"), "chart: 2000000 bytes, but it must be under 2000000"),
    "chart that is text": (message(chart=CHART + "text.png"), "chart: the file is not a JPG, PNG or GIF"),
    "SNS with nothing inside": (sns(""), "the SNS notification is empty"),
    "SNS with white space inside": (sns(" "), "the message is empty"),
    "SNS that wants a confirmation": (sns("x", "SubscriptionConfirmation"), "an SNS SubscriptionConfirmation"),
    "EventBridge with nothing inside": (eventbridge({}), "the EventBridge event is empty"),
    "EventBridge with an unknown field": (eventbridge({"body": "x", "price": 1}), "unknown field `price`"),
    "too many envelopes": (sns(sns(sns(sns("x")))), "wrapped in more than 3 envelopes"),
    "nested deeply": ("[" * 100_000, "nested too deeply"),
}

READABLE = {
    "emoji": ("🚀 $TSLA 👩\u200d👩\u200d👧 🇺🇳 é é", None),
    "right to left": ("$TSLA مرحبا بالعالم \u202eשלום\u202c", None),  # noqa: RUF001
    "line breaks": ("$TSLA\r\n\tone\n\ntwo", None),
    "percent and plus": ("$TSLA +5% & 100%25 = ?a=b#c \\n", None),
    "1000 characters": ("x" * 1000, None),
    "1000 with links": ("https://a.io/ " * 2 + "x" * 952, None),
    "1000 with angle brackets": ("<" + "x" * 996, None),
    "1000 emoji": ("🚀" * 1000, None),
    "brackets without JSON": ("[ALERT] $TSLA", None),
    "space around": ("  $TSLA \n", "$TSLA"),
    "byte order mark": ('\ufeff{"body": "$TSLA"}', "$TSLA"),
    "misread byte order mark": ('\u00ef\u00bb\u00bf{"body": "$TSLA"}', "$TSLA"),
    "zero-width space": ('\u200b{"body": "$TSLA"}\u200b', "$TSLA"),
    "code fence": ('```json\n{"body": "$TSLA"}\n```', "$TSLA"),
    "quotation in front": ('"To the moon" says $TSLA\'s CEO', None),
    "quotation at the end": ('$TSLA\'s CEO: "To the moon"', None),
    "letter in braces": ("$TSLA {x}", None),
    "SNS in EventBridge in SNS": (sns(eventbridge(json.loads(sns("$TSLA")))), "$TSLA"),
    "SNS with JSON inside": (sns(message(body="$TSLA é")), "$TSLA é"),
    "expires in time": (message(body="$TSLA", expires_at="2026-11-21T10:00:01-05:00"), "$TSLA"),
    "expires in time, in another form": (message(body="$TSLA", expires_at="2026-W47-6 16:01+01"), "$TSLA"),
    "expires in time, with a zone's name": (
        message(body="$TSLA", expires_at="2026-11-21T16:01:00+01:00[Europe/Berlin]"),
        "$TSLA",
    ),
}


CHARTS = {
    "large.png": b"\x89PNG\r\n\x1a\n".ljust(3_000_000, b"x"),
    "limit.png": b"\x89PNG\r\n\x1a\n".ljust(2_000_000, b"x"),
    "text.png": b"not an image",
}


@pytest.mark.parametrize(("body", "expected"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_message_that_cannot_be_posted_is_moved_to_dead_letters_between_two_that_are_posted(
    world: PostingWorld, outbox: Function, body: str, expected: str
) -> None:
    for name, content in CHARTS.items():
        if name in body:
            world.s3.put_object(Bucket="stocktwits-relay-charts", Key=name, Body=content)
    run = outbox.invoke(world.event(BEFORE, body, AFTER))
    assert (run.answer, world.posted) == ({"batchItemFailures": []}, [BEFORE, AFTER])
    ((letter, attributes),) = world.dead_letters()
    assert letter == body
    assert expected in attributes["RejectReason"]
    assert "regex" not in attributes["RejectReason"]
    assert attributes == {
        "RejectReason": run.deliveries[1]["reason"],
        "RelayKey": "00000000-0000-4000-8000-000000000001",
        "Attempts": "1",
        "FirstSeen": "2026-11-21T15:00:00Z",
    }


@pytest.mark.parametrize(("body", "posted"), READABLE.values(), ids=READABLE)
def test_an_unusual_but_valid_message_is_posted_unchanged(
    world: PostingWorld, outbox: Function, body: str, posted: str | None
) -> None:
    run = outbox.invoke(world.event(BEFORE, body, AFTER))
    assert world.posted == [BEFORE, posted or body, AFTER]
    assert (run.answer, world.dead_letters()) == ({"batchItemFailures": []}, [])


def test_an_unreadable_message_is_moved_to_dead_letters_even_while_posting_is_paused(
    world: PostingWorld, outbox: Function
) -> None:
    outbox.send('{"bodi": 1}', "$AAPL one")
    world.pause()
    assert outbox.run().outcomes == ["rejected", "deferred"]
    assert (outbox.depth(), len(world.dead_letters())) == (1, 1)


def test_a_text_that_was_posted_under_another_key_is_rejected_as_a_duplicate(
    world: PostingWorld, outbox: Function
) -> None:
    outbox.send('{"body": "$AAPL one", "key": "a"}', '{"body": "$AAPL one", "key": "b"}', AFTER)
    outbox.run()
    ((body, attributes),) = world.dead_letters()
    assert (world.posted, body) == (["$AAPL one", AFTER], '{"body": "$AAPL one", "key": "b"}')
    assert "duplicate" in attributes["RejectReason"]
    assert (attributes["StatusCode"], attributes["RelayKey"]) == ("422", "b")


def test_a_key_that_was_used_for_another_text_is_named_in_the_reason(world: PostingWorld, outbox: Function) -> None:
    outbox.send('{"body": "$AAPL one", "key": "k"}', '{"body": "$AAPL two", "key": "k"}', AFTER)
    outbox.run()
    ((_, attributes),) = world.dead_letters()
    assert world.posted == ["$AAPL one", AFTER]
    assert "its key 'k' was already used for another text" in attributes["RejectReason"]
    assert len(world.publishes) == 2


EXPIRED = '{"body": "$AAPL one", "key": "k", "expires_at": "2020-01-01T00:00:00Z"}'


@pytest.mark.parametrize("first", [EXPIRED, '{"body": "$AAPL one", "key": "k", "chart": "s3://elsewhere/a.png"}'])
def test_a_message_that_is_rejected_before_an_attempt_does_not_use_up_its_key(
    world: PostingWorld, outbox: Function, first: str
) -> None:
    outbox.send(first, '{"body": "$AAPL two", "key": "k"}')
    assert sorted(outbox.run().outcomes) == ["posted", "rejected"]
    assert world.posted == ["$AAPL two"]
    ((body, _),) = world.dead_letters()
    assert body == first


def test_a_body_that_is_too_long_for_a_reason_is_moved_to_dead_letters_without_it(
    world: PostingWorld, outbox: Function
) -> None:
    body = "x" * MAX_SQS_BYTES
    run = outbox.invoke(world.event(BEFORE, body, AFTER))
    assert world.dead_letters() == [(body, {})]
    assert (run.answer, world.posted) == ({"batchItemFailures": []}, [BEFORE, AFTER])
    assert "1048576 characters" in run.deliveries[1]["reason"]
    assert "too large to carry this reason" in run.deliveries[1]["reason"]


def test_a_body_that_is_just_short_enough_is_moved_with_its_reason(world: PostingWorld, outbox: Function) -> None:
    outbox.invoke(world.event("x" * (MAX_SQS_BYTES - 500)))
    ((_, attributes),) = world.dead_letters()
    assert attributes["RejectReason"]


def test_a_long_reason_is_shortened(world: PostingWorld, outbox: Function) -> None:
    outbox.send(json.dumps({"body": "$TSLA", "f" * 5000: 1}))
    outbox.run()
    ((_, attributes),) = world.dead_letters()
    assert len(attributes["RejectReason"]) < 300


# Settings that an operator must fix


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (None, "cannot be read (ParameterNotFound)"),
        ('{"access_token": "a-secret-token-0123456789"', "does not contain a JSON object"),
        ("a-secret-token-0123456789", "does not contain a JSON object"),
        ('["a-secret-token-0123456789"]', "does not contain a JSON object"),
        ('{"token": "a-secret-token-0123456789", "username": "relay_demo"}', "does not contain a JSON object"),
        ('{"access_token": "", "username": "relay_demo"}', "does not contain a JSON object"),
        (
            '{"access_token": "a-secret-token-0123456789\\u2019", "username": "relay_demo"}',
            "does not contain a JSON object",
        ),
        ('{"access_token": 5, "username": "relay_demo"}', "does not contain a JSON object"),
    ],
    ids=["missing", "cut off", "bare", "list", "other field", "empty", "curly quote", "number"],
)
def test_without_a_readable_token_messages_stay_and_the_log_names_what_to_store(
    world: PostingWorld, outbox: Function, stored: str | None, expected: str
) -> None:
    if stored:
        world.store_parameter(stored)
    else:
        world.ssm.delete_parameter(Name="/stocktwits-relay/token")
    first, second = outbox.send("$AAPL one", "$AAPL two")
    run = outbox.run()
    assert run.answer == {"batchItemFailures": [{"itemIdentifier": first}, {"itemIdentifier": second}]}
    assert (world.stand_in.requests, world.current_pause()) == ([], ("token_unreadable", 300))
    assert (world.status(first), world.entry(second)) == ("released", None)
    (line,) = [line for line in run.lines if line["message"] == "gate shut"]
    assert f"/stocktwits-relay/token {expected}" in line["reason"]
    assert "store the account's credentials there" in line["reason"]


def test_a_corrected_token_is_used_by_the_next_probe(world: PostingWorld, outbox: Function) -> None:
    world.ssm.delete_parameter(Name="/stocktwits-relay/token")
    outbox.send("$AAPL one")
    outbox.run()
    world.store_token()
    world.clock.forward(330)
    assert outbox.run().outcomes == ["posted"]
    assert world.current_pause() is None


def test_when_ssm_does_not_answer_the_message_waits_and_the_gate_stays_open(
    world: PostingWorld, outbox: Function
) -> None:
    (key,) = outbox.send("$AAPL one")
    world.aws.answer("GetParameter", "InternalServerError")
    run = outbox.run()
    assert (run.outcomes, world.status(key), world.current_pause()) == (["deferred"], "released", None)


def test_without_its_table_messages_stay_and_the_log_names_what_to_check(world: PostingWorld, outbox: Function) -> None:
    world.dynamodb.delete_table(TableName="stocktwits-relay-ledger")
    (key,) = outbox.send("$AAPL one")
    run = outbox.run()
    assert run.answer == {"batchItemFailures": [{"itemIdentifier": key}]}
    assert (world.stand_in.requests, run.pauses) == ([], ["ledger"])
    assert "stocktwits-relay-ledger cannot be used (ResourceNotFoundException): check that it exists" in run.reason
    world.create_table()
    world.clock.forward(320)
    assert outbox.run().outcomes == ["posted"]


def test_when_s3_does_not_answer_the_message_waits_and_nothing_is_sent(world: PostingWorld, outbox: Function) -> None:
    (key,) = outbox.send(message(chart=CHART + "c.png"))
    world.aws.answer("GetObject", "SlowDown")
    run = outbox.run()
    assert (run.outcomes, world.status(key), world.stand_in.requests) == (["deferred"], "released", [])


def test_without_a_chart_bucket_a_chart_from_s3_is_rejected_with_a_reason(
    world: PostingWorld, outbox: Function
) -> None:
    world.settings(CHART_BUCKET_NAME="")
    outbox.send(message(chart=CHART + "c.png"))
    outbox.run()
    ((_, attributes),) = world.dead_letters()
    assert "no chart bucket is set up" in attributes["RejectReason"]


@pytest.mark.parametrize(
    "attributes",
    [
        {"RelayKey": {"DataType": "Binary", "BinaryValue": b"\xff"}},
        {"RelayKey": {"DataType": "Number", "StringValue": "7"}},
        {
            "RejectReason": {"DataType": "String", "StringValue": "forged"},
            "Attempts": {"DataType": "String", "StringValue": "9" * 5000},
            "FirstSeen": {"DataType": "Binary", "BinaryValue": b"\xff"},
        },
    ],
    ids=["binary key", "number for a key", "our own attributes"],
)
def test_a_publishers_attributes_do_not_affect_other_messages(
    world: PostingWorld, function: Function, attributes: dict[str, Any]
) -> None:
    function.send(BEFORE)
    world.sqs.send_message(QueueUrl=function.queue, MessageBody="$TSLA", MessageAttributes=attributes)
    function.send(AFTER)
    assert function.run().outcomes == ["posted"] * 3


def test_a_pause_that_ends_beyond_the_calendar_stops_all_posting(world: PostingWorld, outbox: Function) -> None:
    world.pause(who={"S": "Ann"}, why={"S": "lunch"}, until={"N": "9.9E+125"})
    (key,) = outbox.send("$TSLA")
    run = outbox.run()
    assert run.answer == {"batchItemFailures": [{"itemIdentifier": key}]}
    assert world.stand_in.requests == []
