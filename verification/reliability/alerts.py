"""The alerts of a run, from its seed: valid ones in several formats, and invalid ones with the expected reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from local.stack.stack import CHART_BUCKET
from verification.reliability.checker import Alert

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

SHARE_OF_COPIES = 0.05
SHARE_OF_BAD = 0.05
_SYMBOLS = ("AAPL", "MSFT", "NVDA", "TSLA", "AMD", "SPY", "QQQ", "BTC.X", "BRK.B", "ES_F")
_EVENTS = ("crosses its 50-day average", "opens with a gap", "halted, news pending", "at a new high", "closes lower")
_SENTIMENTS = ("bullish", "bearish", "neutral")


def _text(number: int, choice: random.Random) -> str:
    return f"Alert {number}: ${choice.choice(_SYMBOLS)} {choice.choice(_EVENTS)}, last {choice.uniform(1, 900):.2f}"


def _plain(text: str, key: str, choice: random.Random) -> Alert:  # noqa: ARG001
    return Alert(text, text)


def _keyed(text: str, key: str, choice: random.Random) -> Alert:
    return Alert(text, json.dumps({"body": text, "key": key, "sentiment": choice.choice(_SENTIMENTS)}), key)


def _notified(text: str, key: str, choice: random.Random) -> Alert:  # noqa: ARG001
    inside = json.dumps({"body": text, "key": key})
    return Alert(text, json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:::alerts", "Message": inside}), key)


_GOOD: tuple[Callable[[str, str, random.Random], Alert], ...] = (_plain, _keyed, _keyed, _notified)


BAD: tuple[tuple[dict[str, Any], str], ...] = (
    ({"body": " "}, "body: is empty"),
    ({"body": "x" * 1001}, "at most 1000 are allowed"),
    ({"colour": "red"}, "unknown field `colour`"),
    ({"sentiment": "sideways"}, "sentiment: "),
    ({"in_reply_to_message_id": 0}, "in_reply_to_message_id: "),
    ({"expires_at": "tomorrow"}, "expires_at: must be ISO 8601"),
    ({"expires_at": "2026-01-01T00:00:00Z"}, "it expired at 2026-01-01"),
    ({"chart": "s3://of-somebody-else/chart.png"}, "may not read from bucket of-somebody-else"),
    ({"chart": f"s3://{CHART_BUCKET}/missing.png"}, "there is no object 'missing.png'"),
)
"""The changes that make an alert invalid, each with a part of the expected reason."""


def _bad(text: str, key: str, kind: int) -> Alert:
    """Return an alert that cannot be posted."""
    changes, refusal = BAD[kind]
    return Alert(text, json.dumps({"body": text, "key": key} | changes), key, refusal)


def _unreadable(text: str, key: str) -> Alert:
    """Return an alert whose JSON is truncated."""
    return Alert(text, json.dumps({"key": key, "body": text})[:-1], refusal="begins like a JSON object but cannot be")


def make(messages: int, choice: random.Random, styles: Sequence[str] = ("{}",)) -> list[Alert]:
    """Return the alerts of a number of messages, in the order of publishing; some are invalid, some are repeated.

    A repetition follows up to a hundred messages after the original.

    Args:
        messages: How many messages.
        choice: Decides about everything.
        styles: What the texts look like, in turn: each with ``{}`` in place of the text.
    """
    copies, bad = (round(messages * share) for share in (SHARE_OF_COPIES, SHARE_OF_BAD))
    numbers = range(messages - copies)
    invalid = set(choice.sample(numbers, bad))
    run = f"{choice.randrange(16**8):08x}"  # the ledger still has the keys of earlier runs
    alerts = []
    for number in numbers:
        text, key = styles[number % len(styles)].format(_text(number, choice)), f"fire-{run}-{number}"
        make_one = choice.choice(_GOOD)
        if number in invalid:
            kind = choice.randrange(len(BAD) + 1)
            alerts.append(_bad(text, key, kind) if kind < len(BAD) else _unreadable(text, key))
        else:
            alerts.append(make_one(text, key, choice))
    places = [(float(place), alert) for place, alert in enumerate(alerts)]
    twice = choice.sample([(place, each) for place, each in places if each.key and not each.refusal], copies)
    places += [(place + choice.uniform(0.5, 100), each) for place, each in twice]
    return [each for _, each in sorted(places, key=lambda placed: placed[0])]
