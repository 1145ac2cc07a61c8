"""What envelopes say of a message's key, and which post an alert is."""

import json
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from relay.errors import Reject
from relay.posting.alert import Alert, Reading, fingerprint, read, read_message

from tests.factories import an_alert

ALERT = '{"body": "x", "key": "own"}'


def sns(inside: object, message_id: object = "sns-1", relay_key: object = None, kind: object = "String") -> str:
    attributes = {"MessageAttributes": {"RelayKey": {"Type": kind, "Value": relay_key}}} if relay_key else {}
    return json.dumps(
        {"Type": "Notification", "TopicArn": "arn", "MessageId": message_id, "Message": inside, **attributes}
    )


def eventbridge(detail: object, event_id: object = "event-1") -> str:
    return json.dumps({"detail-type": "Alert", "source": "my.scanner", "id": event_id, "detail": detail})


def keys(message: str) -> tuple[str | None, str | None]:
    reading = read_message(message)
    return reading.relay_key, reading.envelope_id


def test_a_message_without_an_envelope_has_no_key_but_its_own() -> None:
    assert read_message(ALERT) == Reading(an_alert("x", key="own"), None, None)


@pytest.mark.parametrize("inside", ["x", ALERT])
def test_reading_an_alert_is_reading_its_message(inside: str) -> None:
    assert read(sns(inside, relay_key="k")) == read_message(sns(inside, relay_key="k")).alert == read(inside)


def test_the_id_of_an_envelope_is_that_of_sns_or_eventbridge() -> None:
    assert keys(sns("x")) == (None, "sns-1")
    assert keys(eventbridge({"body": "x"})) == (None, "event-1")


def test_an_attribute_of_an_sns_message_is_its_key() -> None:
    assert keys(sns("x", relay_key="k")) == ("k", "sns-1")


@pytest.mark.parametrize("kind", ["String", "Number", "String.Array"])
def test_a_key_of_any_type_that_has_text_counts_as_it_does_in_sqs(kind: str) -> None:
    assert keys(sns("x", relay_key="7", kind=kind))[0] == "7"


@pytest.mark.parametrize(
    "attributes",
    [None, 5, {}, [], {"RelayKey": None}, {"RelayKey": "k"}, {"RelayKey": {"Value": "k"}}, {"relaykey": {}}]
    + [
        {"RelayKey": {"Type": kind, "Value": value}}
        for kind, value in (("Binary", "aw=="), ("String", 7), ("String", ""))
    ],
)
def test_what_is_not_an_attribute_with_text_is_no_key(attributes: object) -> None:
    assert keys(json.dumps(json.loads(sns("x")) | {"MessageAttributes": attributes})) == (None, "sns-1")


def test_the_innermost_envelope_takes_precedence() -> None:
    assert keys(sns(sns("x", "inner", relay_key="i"), "outer", relay_key="o")) == ("i", "inner")
    assert keys(sns(eventbridge({"body": "x"}), relay_key="o")) == ("o", "event-1")
    assert keys(eventbridge(json.loads(sns("x", relay_key="i")))) == ("i", "sns-1")


@pytest.mark.parametrize("none", [None, "", 7, ["a"]])
def test_an_envelope_without_an_id_leaves_it_to_the_one_around_it(none: object) -> None:
    assert keys(sns("x", none)) == (None, None)
    assert keys(sns(eventbridge({"body": "x"}, none))) == (None, "sns-1")


def test_a_field_of_an_event_is_not_an_attribute() -> None:
    with pytest.raises(Reject, match="unknown field `RelayKey`"):
        read(eventbridge({"body": "x", "RelayKey": "k"}))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("k" * 257, "has 257 characters"),
        ("k\0", "has the control character U[+]0000"),
        ("k\uffff", "has the control character U[+]FFFF"),
        ("undefined", "is undefined, which every alert without a value would have"),
        ("{{id}}", "has the placeholder {{id}}"),
    ],
)
def test_a_key_of_an_envelope_is_refused_like_any_other(key: str, words: str) -> None:
    with pytest.raises(Reject, match=f"^RelayKey: {words}"):
        read(sns("x", relay_key=key))


@pytest.mark.parametrize("message", [sns("x", "i" * 257), eventbridge({"body": "x"}, "i\0")])
def test_an_id_that_the_ledger_cannot_hold_is_refused(message: str) -> None:
    with pytest.raises(Reject, match=r"^the id of its envelope: "):
        read(message)


@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation", "\0", None, ["x"], {}])
def test_what_is_not_a_notification_of_sns_is_refused(kind: object) -> None:
    with pytest.raises(Reject, match=r"^the message is an SNS .*, not an alert: confirm it by hand$"):
        read(json.dumps({"Type": kind, "TopicArn": "arn", "Message": "x"}))


# Fingerprints


def test_a_fingerprint_is_of_text_sentiment_reply_and_chart() -> None:
    alert = {"body": "x", "sentiment": "bullish", "in_reply_to_message_id": 7, "chart": "s3://b/c"}
    assert fingerprint(an_alert(**alert)) == fingerprint(an_alert(**alert, key="k"))
    others = [alert | change for change in ({"body": "y"}, {"sentiment": "bearish"}, {"in_reply_to_message_id": 8})]
    others += [alert | {"chart": "s3://b/d"}, *({**alert, name: None} for name in ("sentiment", "chart"))]
    assert len({fingerprint(an_alert(**each)) for each in [alert, *others]}) == len(others) + 1


def test_no_sentiment_and_a_neutral_one_are_the_same_post() -> None:
    assert fingerprint(an_alert("x")) == fingerprint(an_alert("x", sentiment="neutral"))


def test_a_fingerprint_stays_what_it_was_when_it_was_written() -> None:
    alert = an_alert("\u00e9 $AAPL", sentiment="bullish", in_reply_to_message_id=7, chart="s3://b/c")
    assert fingerprint(alert) == "8beaf43c6519d63722b5b440a46d87f35c359b4dabfbc76847cf46becf57a569"


parts = st.sampled_from(["x", "y", '"', ",", "\\", "null", "7", 'x","bullish'])
alerts = st.builds(
    Alert,
    body=parts,
    sentiment=st.sampled_from([None, "bullish", "bearish"]),
    in_reply_to_message_id=st.sampled_from([None, 7]),
    chart=st.none() | parts,
)


@given(st.lists(alerts, unique=True, max_size=8))
def test_no_two_posts_share_a_fingerprint(posts: list[Alert]) -> None:
    assert all(fingerprint(one) != fingerprint(other) for one, other in combinations(posts, 2))
