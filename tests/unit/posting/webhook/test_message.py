"""What a source's payload becomes: a message for the Outbox, or a reason."""

import json
from datetime import UTC, datetime

import pytest
from relay.errors import Reject
from relay.posting.alert import read
from relay.posting.webhook.body_template import Template
from relay.posting.webhook.message import SAME_SECONDS, Composed, compose
from relay.posting.webhook.sources import Source

NOW = datetime(2026, 11, 27, 12, 5, tzinfo=UTC).timestamp()


def composed(
    payload: str, *, name: str = "scanner", template: Template | None = None, expires_in: int = 0, now: float = NOW
) -> Composed:
    source = Source(salt="", hash="", added="", template=template, expires_in=expires_in)
    return compose(name, source, payload, now)


@pytest.mark.parametrize("payload", ["Up 3% $AAPL", ' {"body": "Up 3% $AAPL", "sentiment": "bullish"}\n'])
def test_without_a_template_the_payload_goes_on_as_it_came(payload: str) -> None:
    assert composed(payload).body == payload


def test_a_template_makes_a_message_of_the_payload() -> None:
    template = Template(body='"Up" {change}% ${symbol}', sentiment="{side}", key="{id}")
    made = composed('{"change": 3.10, "symbol": "AAPL", "side": "bullish", "id": 7}', template=template)
    assert json.loads(made.body) == {"body": '"Up" 3.10% $AAPL', "sentiment": "bullish", "key": "7"}
    assert made.key == "7"


def test_a_payload_cannot_add_fields_to_the_message_through_a_template() -> None:
    made = composed(json.dumps({"a": '", "key": "k'}), template=Template(body="Up {a}"))
    assert made.alert.key is None


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        ('{"body": "Up $A", "key": "mine"}', "mine"),
        (json.dumps({"Type": "Notification", "MessageId": "sns-1", "TopicArn": "t", "Message": "Up $A"}), "sns-1"),
    ],
)
def test_a_key_of_the_senders_own_is_used(payload: str, key: str) -> None:
    assert composed(payload).key == key
    assert composed(payload, expires_in=60).key == key


def test_without_a_key_the_same_payload_has_the_same_key_for_its_half_hour() -> None:
    key = composed("Up $A").key
    assert key.startswith("webhook-scanner-")
    begin = NOW - NOW % SAME_SECONDS
    assert composed("Up $A", now=begin).key == key == composed("Up $A", now=begin + SAME_SECONDS - 0.01).key
    others = {
        composed("Up $A", now=begin + SAME_SECONDS).key,
        composed("Up $A", now=begin - 0.01).key,
        composed("Up $B").key,
        composed("Up $A", name="other").key,
    }
    assert key not in others
    assert len(others) == 4


def test_a_key_is_made_of_the_payload_and_not_of_its_expiry() -> None:
    assert composed("Up $A", expires_in=60).key == composed("Up $A", expires_in=60, now=NOW + 60).key


def test_an_alert_expires_when_it_says_or_else_when_its_source_says() -> None:
    assert read(composed("Up $A", expires_in=1800).body).expires_at == datetime(2026, 11, 27, 12, 35, tzinfo=UTC)
    own = '{"body": "Up $A", "expires_at": "2026-11-27T13:00:00Z"}'
    assert composed(own, expires_in=1800).body == own


def test_the_sources_expiry_counts_from_when_an_alert_may_be_posted() -> None:
    later = '{"body": "Up $A", "sentiment": "bearish", "not_before": "2026-11-27T15:00:00Z"}'
    made = read(composed(later, expires_in=1800).body)
    assert made.expires_at == datetime(2026, 11, 27, 15, 30, tzinfo=UTC)
    assert (made.body, made.sentiment) == ("Up $A", "bearish")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("", "the message is empty"),
        (" \n", "the message is empty"),
        ('{"body": "Up $A", "expires_at": "2026-11-27T12:05:00Z"}', "expires_at: is past"),
        ('{"body": "Up $A", "not_before": "2026-12-11T12:05:00Z"}', "not_before: must be at most 13 days"),
        ('{"body": "Up $A", "sentiment": "up"}', "sentiment"),
        ("{{ticker}} crossed 5", "placeholder"),
    ],
)
def test_what_cannot_be_posted_is_refused_with_the_reason(payload: str, reason: str) -> None:
    with pytest.raises(Reject, match=reason):
        composed(payload)


def test_an_empty_payload_is_called_so_whatever_the_template() -> None:
    with pytest.raises(Reject, match="the message is empty"):
        composed("", template=Template(body="{a}"))
