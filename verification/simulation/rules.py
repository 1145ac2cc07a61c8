"""The owner's rules on a day, and the alerts that meet them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

MINUTE = 60.0

RARELY = 0.05
"""How often the posting hours are rare: such days are long."""

HOURS: tuple[tuple[str, tuple[tuple[float, float], ...]], ...] = (
    ("MON-SUN 00:20-24:00 UTC", ((30, 50), (1470, 1490), (2910, 2930))),
    ("MON-SUN 00:00-00:10,02:00-24:00 Europe/London", ((40, 150), (1480, 1590), (2920, 3030))),
    ("FRI-SUN 01:00-22:00 UTC", ((0, 90), (1350, 1530), (2790, 2970))),
    ("THU-FRI 18:00-18:45,20:00-23:00 America/New_York", ((15, 90), (270, 1410), (1455, 1530))),
    ("MON-THU 23:00-23:45 SUN 10:00-11:00 Etc/UTC", ((15, 3510),)),
)
"""Posting hours, and when they are shut: in minutes after the start, which is Thursday 2027-01-14 23:30 UTC."""

TOO_LATE = "before the posting hours begin again"
"""Part of the reason of a message that is given up since it could not be kept until then."""

RARE_HOURS = ("THU-FRI 22:00-24:00 UTC", ((30, 1350), (1470, 9990), (10110, 11430), (11550, 20070)))
"""Posting hours that are over for longer than a message can be kept, in the same way."""

LATER = {"in time": 11440.0, "while shut": 11400.0, "an hour left": 11485.0, "too late": 11500.0, "over": 11700.0}
"""When messages for the last of these hours may be posted, in minutes after the start."""


@dataclass(frozen=True)
class Rules:
    """The owner's rules, named as the template names them, and off unless said otherwise.

    Attributes:
        shut: When the posting hours are over: from, until, in seconds after the start.
        rare: Whether they are over for longer than a message can be kept.
    """

    default_expiry_minutes: int = 0
    expired_to: str = "dead-letters"
    posting_hours: str = ""
    shut: tuple[tuple[float, float], ...] = ()
    rare: bool = False
    alike_minutes: int = 0
    when_duplicate: str = "reject"
    symbol_cooldown_minutes: int = 0

    @property
    def on(self) -> bool:
        """Whether there is any."""
        return self != Rules()


@dataclass(frozen=True)
class Ruled:
    """An alert that is published because of the rules.

    Attributes:
        after: When it is published, in seconds after the start.
        body: The body of the message.
        text: The text to post.
        not_before: Its own, in seconds after the start, if it has one.
        expires: Its own, in the same way.
        refused: Parts of the reasons for which it may be in Dead letters, beside those of every other.
    """

    after: float
    body: str
    text: str
    not_before: float | None = None
    expires: float | None = None
    refused: tuple[str, ...] = ()


def rules(random: Random) -> Rules:
    """Draw the rules of a day: each on its own, or together."""
    hours, shut = random.choice(HOURS) if random.random() < 0.4 else ("", ())
    return Rules(
        default_expiry_minutes=random.choice([0, 0, 20, 60, 240]),
        expired_to=random.choice(["dead-letters", "log"]),
        posting_hours=hours,
        shut=tuple((begin * MINUTE, end * MINUTE) for begin, end in shut),
        alike_minutes=random.choice([0, 0, 0, 5, 31]),
        when_duplicate=random.choice(["reject", "wait"]),
        symbol_cooldown_minutes=random.choice([0, 0, 5, 20, 90]),
    )


def ruled(random: Random, start: float) -> list[Ruled]:
    """Draw alerts that meet the rules: about the same symbols, alike, for later, or of high priority."""
    alerts = []
    for number in range(random.randint(2, 6)):
        after = random.choice([600.0, random.uniform(0, 1800)])
        symbols = random.choice(["$COOL", "$COOL", "$cool and $OTHER", "$OTHER", "$BRK.B"])
        words = random.choice([f"{symbols} rises {number}%", f"Alert {'abcdef'[number]} for {symbols}"])
        fields: dict[str, object] = {}
        not_before = expires = None
        if random.random() < 0.3:
            not_before = after + random.choice([60, 1200, 3 * 3600])
            fields["not_before"] = iso(start + not_before)
        if random.random() < 0.2:
            expires = max(after, not_before or 0) + random.choice([120, 2400])
            fields["expires_at"] = iso(start + expires)
        if random.random() < 0.3:
            fields["priority"] = "high"
        body = json.dumps({"body": words, **fields}) if fields else words
        alerts.append(Ruled(after, body, words, not_before, expires))
    return alerts


def at_closing(random: Random, rules: Rules) -> list[Ruled]:
    """Draw alerts that come together just before the posting hours first end, so that a batch of them is under way."""
    first = next((begin for begin, _ in rules.shut if begin), None)
    if first is None or random.random() < 0.5:
        return []
    after = first - random.uniform(0, 6)
    words = [f"{'abcdefghij'[number]} closes soon" for number in range(random.randint(6, 10))]
    return [Ruled(after, each, each) for each in words]


def for_later(random: Random, start: float, rules: Rules) -> tuple[Rules, list[Ruled]]:
    """On a few days let the posting hours be rare, and draw alerts for the last of them."""
    if random.random() > RARELY:
        return rules, []
    hours, shut = RARE_HOURS
    shut_seconds = tuple((begin * MINUTE, end * MINUTE) for begin, end in shut)
    rare = replace(rules, posting_hours=hours, shut=shut_seconds, rare=True)
    alerts = []
    for words in random.sample([*LATER], 2):
        moment = LATER[words] * MINUTE
        fields = {"body": f"{words} for these hours", "not_before": iso(start + moment)}
        too_late = (TOO_LATE,) if words in {"too late", "over"} else ()
        alerts.append(Ruled(random.uniform(0, 1200), json.dumps(fields), fields["body"], moment, refused=too_late))
    return rare, alerts


def iso(moment: float) -> str:
    """Write a moment, in seconds since the epoch, as a message does."""
    return datetime.fromtimestamp(moment, UTC).isoformat()
