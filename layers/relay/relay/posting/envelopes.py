"""What SNS and EventBridge put around a message, and what their envelopes say of its key. Pure.

Sources: https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html and
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html.
"""

from typing import Any

import msgspec

from relay.errors import Reject


class Envelope(msgspec.Struct, frozen=True):
    """An SNS notification or an EventBridge event.

    Attributes:
        inside: The message in it, as text.
        id: Its id, which stays the same when SNS or EventBridge deliver it twice.
        relay_key: The attribute ``RelayKey`` of an SNS notification; EventBridge's events have no attributes.
    """

    inside: str
    id: str | None
    relay_key: str | None = None


def envelope(content: dict[str, Any]) -> Envelope | None:
    """Return the envelope that a JSON object is, if it is one.

    Raises:
        Reject: It is SNS's question whether to subscribe, or there is nothing in it.
    """
    if "Type" in content and "TopicArn" in content:
        if content["Type"] != "Notification":
            kinds = {"SubscriptionConfirmation", "UnsubscribeConfirmation"}
            kind = content["Type"] if str(content["Type"]) in kinds else "message of an unknown type"
            raise Reject(f"the message is an SNS {kind}, not an alert: confirm it by hand")
        inside = _inside("SNS notification", content.get("Message"))
        return Envelope(inside, _text(content.get("MessageId")), _relay_key(content.get("MessageAttributes")))
    if "detail-type" in content and "source" in content:
        return Envelope(_inside("EventBridge event", content.get("detail")), _text(content.get("id")))
    return None


def _inside(name: str, content: object) -> str:
    if not content:
        raise Reject(f"the {name} is empty")
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()


def _relay_key(attributes: object) -> str | None:
    match attributes:
        case {"RelayKey": {"Type": str(kind), "Value": value}} if kind != "Binary":  # as with SQS's own attribute
            return _text(value)
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
