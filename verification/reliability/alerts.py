"""The alerts of a run, from its seed: valid ones in several formats, and invalid ones with the expected reason."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.stack.stack import CHART_BUCKET
from verification.reliability.checker import Alert

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

RULED_SYMBOLS = 120
USUAL_SYMBOLS = 30
"""The symbols of a run with rules; the first ones are by far the most frequent."""

SHARE_OF_LATER = 0.05
SHARE_OF_HIGH = 0.1
SHARE_OF_COPIES = 0.05
SHARE_OF_BAD = 0.05
_SYMBOLS = ("AAPL", "MSFT", "NVDA", "TSLA", "AMD", "SPY", "QQQ", "BTC.X", "BRK.B", "ES_F")
_EVENTS = ("crosses its 50-day average", "opens with a gap", "halted, news pending", "at a new high", "closes lower")
_MOVES = (
    "rally",
    "slide",
    "breakout",
    "reversal",
    "squeeze",
    "gap",
    "halt",
    "spike",
    "dip",
    "bounce",
    "drift",
    "sweep",
)
_KINDS = ("sharp", "slow", "rare", "late", "early", "broad", "thin", "quiet", "steep", "strong", "weak", "sudden")
_SENTIMENTS = ("bullish", "bearish", "neutral")


def _text(number: int, choice: random.Random) -> str:
    return f"Alert {number}: ${choice.choice(_SYMBOLS)} {choice.choice(_EVENTS)}, last {choice.uniform(1, 900):.2f}"


def ruled_text(number: int, choice: random.Random) -> str:
    """Return the text of an alert for the owner's rules: some symbols are in many, and each has many like it."""
    tags = list(dict.fromkeys(_ruled_symbol(choice) for _ in range(choice.choice((1, 1, 1, 1, 2)))))
    kind, move = choice.choice(_KINDS), choice.choice(_MOVES)
    return f"Alert {number}: {kind} {move} of {' and '.join(tags)}, last {choice.uniform(1, 900):.2f}"


def _ruled_symbol(choice: random.Random) -> str:
    number = min(int(choice.expovariate(1 / USUAL_SYMBOLS)), RULED_SYMBOLS - 1)
    return f"$R{chr(ord('A') + number // 12)}{chr(ord('A') + number % 12)}"


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


def make(
    messages: int,
    choice: random.Random,
    styles: Sequence[str] = ("{}",),
    text: Callable[[int, random.Random], str] = _text,
) -> list[Alert]:
    """Return the alerts of a number of messages, in the order of publishing; some are invalid, some are repeated.

    A repetition follows up to a hundred messages after the original.

    Args:
        messages: How many messages.
        choice: Decides about everything.
        styles: What the texts look like, in turn: each with ``{}`` in place of the text.
        text: Makes the text of an alert of a number.
    """
    copies, bad = (round(messages * share) for share in (SHARE_OF_COPIES, SHARE_OF_BAD))
    numbers = range(messages - copies)
    invalid = set(choice.sample(numbers, bad))
    run = f"{choice.randrange(16**8):08x}"  # the ledger still has the keys of earlier runs
    alerts = []
    for number in numbers:
        words, key = styles[number % len(styles)].format(text(number, choice)), f"fire-{run}-{number}"
        make_one = choice.choice(_GOOD)
        if number in invalid:
            kind = choice.randrange(len(BAD) + 1)
            alerts.append(_bad(words, key, kind) if kind < len(BAD) else _unreadable(words, key))
        else:
            alerts.append(make_one(words, key, choice))
    places = [(float(place), alert) for place, alert in enumerate(alerts)]
    twice = choice.sample([(place, each) for place, each in places if each.key and not each.refusal], copies)
    places += [(place + choice.uniform(0.5, 100), each) for place, each in twice]
    return [each for _, each in sorted(places, key=lambda placed: placed[0])]


def scheduled(made: Sequence[Alert], choice: random.Random, start: float, seconds: float) -> list[Alert]:
    """Give some alerts a ``not_before`` within some seconds of a start, and some a high priority."""
    changed: dict[Alert, Alert] = {}
    for each in dict.fromkeys(made):
        chance = choice.random()
        if not each.key or each.refusal or not each.body.startswith('{"body"'):
            continue
        if chance < SHARE_OF_LATER:
            moment = int(start + choice.uniform(0, seconds))
            fields: dict[str, Any] = {"not_before": datetime.fromtimestamp(moment, UTC).isoformat()}
            changed[each] = replace(each, body=json.dumps(json.loads(each.body) | fields), not_before=float(moment))
        elif chance < SHARE_OF_LATER + SHARE_OF_HIGH:
            changed[each] = replace(each, body=json.dumps(json.loads(each.body) | {"priority": "high"}))
    return [changed.get(each, each) for each in made]
