"""What a notice says, and in which form each service gets it."""

import base64
import gzip
import json
from typing import Any

import pytest
from relay.notices.notice import MAX_CHARACTERS, SHOWN_CHARACTERS, Kind, Notice, payload, read_event

STACK = "stocktwits-relay"
HOSTS = ["discord.com", "hooks.slack.com", "chat.example.com"]


def notification(message: str, subject: str | None = None) -> dict[str, Any]:
    """What Lambda is invoked with by SNS: https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html."""
    return {"Records": [{"EventSource": "aws:sns", "Sns": {"Subject": subject, "Message": message}}]}


def log_lines(*lines: object, kind: str = "DATA_MESSAGE") -> dict[str, Any]:
    """What Lambda is invoked with by a subscription filter:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html."""
    events = [
        {"id": str(number), "message": each if isinstance(each, str) else json.dumps(each)}
        for number, each in enumerate(lines)
    ]
    data = {"messageType": kind, "logGroup": "PostMessagesLogs", "logEvents": events}
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(data).encode())).decode()}}


def rejected(text: str = "Up 3% $AAPL", reason: str = "it expired", **but: object) -> dict[str, object]:
    return {"message": "delivery", "outcome": "rejected", "text": text, "reason": reason, **but}


def text_of(event: dict[str, Any]) -> str:
    notice = read_event(event, STACK)
    assert notice
    return notice.text


def test_an_alarm_is_told_with_its_stack_its_name_and_what_to_do() -> None:
    alarm = {
        "AlarmName": "stocktwits-relay-dead-letters",
        "AlarmDescription": "Messages wait in Dead letters: relay dead list.",
        "NewStateValue": "ALARM",
        "NewStateReason": "Threshold Crossed: 1 datapoint",
    }
    assert read_event(notification(json.dumps(alarm), "ALARM: ..."), STACK) == Notice(
        Kind.ALARM,
        "stocktwits-relay: alarm dead-letters\nMessages wait in Dead letters: relay dead list.\n"
        "To check everything: relay doctor",
    )


@pytest.mark.parametrize("message", ["Deployed", '{"a": 1}', "[1]", "7", "null"])
def test_what_else_is_published_to_the_topic_is_passed_on(message: str) -> None:
    assert read_event(notification(message, "A subject"), STACK) == Notice(
        Kind.MESSAGE, f"stocktwits-relay: A subject\n{message}"
    )


def test_a_rejected_post_is_told_with_its_text_and_its_reason() -> None:
    assert read_event(log_lines(rejected("Up 3%\n$AAPL", "it\nexpired")), STACK) == Notice(
        Kind.REJECTED,
        "stocktwits-relay: a post was rejected\nUp 3% $AAPL\n    it expired\n"
        "To see, correct or retry: relay dead list, relay dead edit, relay dead retry",
    )


def test_rejected_posts_of_one_moment_are_one_notice_that_counts_them() -> None:
    lines = text_of(log_lines(*(rejected(f"post {number}") for number in range(7)))).splitlines()
    assert lines[0] == "stocktwits-relay: 7 posts were rejected"
    assert [each for each in lines if each.startswith("post ")] == [f"post {number}" for number in range(5)]
    assert "and 2 more" in lines


def test_a_message_that_cannot_be_read_is_told_as_such() -> None:
    assert "\n(a message that cannot be read)\n    it is not JSON" in text_of(log_lines(rejected("", "it is not JSON")))


def test_a_long_text_or_reason_is_shortened() -> None:
    lines = text_of(log_lines(rejected("x" * 1000, "y" * 1000))).splitlines()
    assert (lines[1], lines[2].strip()) == tuple(f"{each * (SHOWN_CHARACTERS - 1)}…" for each in "xy")


@pytest.mark.parametrize(
    "line",
    [
        rejected(outcome="posted"),
        rejected(outcome="expired"),
        rejected(message="gate shut"),
        "START RequestId: 1",
        "[]",
    ],
)
def test_other_lines_are_not_told(line: object) -> None:
    assert read_event(log_lines(line), STACK) is None


def test_that_cloudwatch_tries_whether_it_reaches_the_function_is_not_told() -> None:
    assert read_event(log_lines("CWL CONTROL MESSAGE: Checking health", kind="CONTROL_MESSAGE"), STACK) is None


@pytest.mark.parametrize("event", [{}, {"Records": []}, {"awslogs": {"data": "bm8="}}])
def test_what_is_neither_is_an_error(event: dict[str, Any]) -> None:
    with pytest.raises((KeyError, ValueError, OSError)):
        read_event(event, STACK)


# Services

STRANGE = Notice(Kind.REJECTED, "<!channel> @everyone & <https://example.com|a link>")


def test_slack_gets_no_mention_and_no_hidden_link() -> None:
    assert payload(STRANGE, "hooks.slack.com") == {
        "text": "&lt;!channel&gt; @everyone &amp; &lt;https://example.com|a link&gt;"
    }


@pytest.mark.parametrize("host", ["discord.com", "canary.discord.com", "discordapp.com"])
def test_discord_mentions_nobody(host: str) -> None:
    assert payload(STRANGE, host) == {"content": STRANGE.text, "allowed_mentions": {"parse": []}}


@pytest.mark.parametrize("host", ["chat.example.com", "notdiscord.com", "slack.com.example.com"])
def test_another_service_gets_what_most_take(host: str) -> None:
    assert payload(STRANGE, host) == {"text": STRANGE.text}


@pytest.mark.parametrize("host", HOSTS)
def test_no_notice_is_longer_than_discord_takes(host: str) -> None:
    shown = payload(Notice(Kind.MESSAGE, "x" * 3000), host)
    (text,) = (each for name, each in shown.items() if name in {"text", "content"})
    assert (len(text), text[-2:]) == (MAX_CHARACTERS, "x…")
