"""The day of a seed: the published messages, the account, and the faults."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from relay.posting.delivery import CUT_OFF
from relay.posting.gate import Pace

from verification.simulation.network import Weather
from verification.simulation.stocktwits import Nature

START = 1_800_000_000.0 - 8 * 3600 - 1800
"""Half an hour before midnight (UTC), so that posts of two days count towards a daily cap."""

MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True)
class Alert:
    """One published message.

    Attributes:
        after: When it is published, in seconds after the start.
        body: The body of the message in the Outbox.
        text: The text to post; None if the message is invalid.
        key: The publisher's own idempotency key, if it has one.
        expires_at: When it expires, in seconds since the epoch.
        may_be_refused: Parts of the reasons for which it may end in Dead letters.
        deadly: Whether it kills the function that delivers it.
    """

    after: float
    body: str
    text: str | None
    key: str | None = None
    expires_at: float | None = None
    may_be_refused: tuple[str, ...] = ()
    deadly: bool = False


@dataclass(frozen=True)
class Scenario:
    """One day.

    Attributes:
        seed: Its seed.
        alerts: The published messages.
        weather: How likely each fault is, until the storm is over.
        nature: How StockTwits behaves.
        pace: The owner's pace.
        concurrency: How many requests a worker has at a time.
        storm: How long faults occur, in seconds after the start.
        smallest_batch: How many messages a batch has at least.
        restless: How likely SQS delivers a message again.
        two_drains: Whether drains overlap sometimes.
        pauses: The start and the end of each operator's pause, in seconds after the start.
        new_token_after: When the token is revoked, in seconds after the start, if it is.
        posts_by_hand: When the owner posts by hand, in seconds after the start.
    """

    seed: int
    alerts: list[Alert]
    weather: Weather
    nature: Nature
    pace: Pace
    concurrency: int
    storm: float
    smallest_batch: int = 1
    restless: float = 0.0
    two_drains: bool = False
    pauses: list[tuple[float, float]] = field(default_factory=list)
    new_token_after: float | None = None
    posts_by_hand: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        """Describe the day in a few lines."""
        pace = (
            f"{self.pace.per_hour} posts an hour, {self.pace.burst} at once, {self.pace.per_day or 'any number'} a day"
        )
        return (
            f"{len(self.alerts)} alerts, {pace}, {self.concurrency} requests at a time; {self.nature}; {self.weather}; "
            f"restless {self.restless:.2f}, two drains {self.two_drains}, pauses {self.pauses}, "
            f"new token after {self.new_token_after}, {len(self.posts_by_hand)} posts by hand"
        )


def scenario(seed: int, *, rough: bool = False) -> Scenario:
    """Return the day of a seed; a rough one has all faults at once, which finds a defect sooner."""
    random = Random(f"scenario {seed}")
    nature = Nature(near_identical=random.random() < 0.3, slowness=random.choice([1, 4]))
    if random.random() < 0.2:  # only the ledger and the stream prevent duplicates
        nature.forgetful = True
    else:
        nature.lag = random.choice([0, 0, 5, 60, 600])
        nature.late = random.random() < 0.5
    storm = random.choice([0.5, 1, 2]) * HOUR
    by_hand = [random.uniform(0, storm)] * 35 if random.random() < 0.05 else []
    alerts = _alerts(random, nature, crowded=bool(by_hand))
    a_day = random.choice([0, 0, 0, 3 + len(alerts) // 4])
    alerts += _deadly(Random(f"deadly {seed}"), [each.after for each in alerts])
    return Scenario(
        seed=seed,
        alerts=alerts,
        weather=_weather(random, rough=rough),
        nature=nature,
        pace=Pace(random.choice([6, 60, 600]), random.choice([1, 3, 10]), a_day),
        concurrency=random.choice([1, 2, 4]),
        storm=storm,
        restless=random.choice([0.2] if rough else [0, 0, 0.02, 0.1]),
        two_drains=rough or random.random() < 0.3,
        pauses=[
            (begin, begin + random.uniform(10, 1200)) for begin in _moments(random, storm, random.choice([0, 0, 1]))
        ],
        new_token_after=random.uniform(0, storm) if random.random() < 0.1 else None,
        posts_by_hand=by_hand,
    )


def _weather(random: Random, *, rough: bool) -> Weather:
    if rough and random.random() < 1 / 4:  # only StockTwits fails, so AWS cannot be the cause
        return Weather(stocktwits=0.5)
    return Weather(
        killed=random.choice([0.02] if rough else [0, 0, 0.01, 0.03]),
        throttled=random.choice([0, 0.5] if rough else [0, 0, 0.05, 0.2]),
        answer_lost=random.choice([0, 0.2] if rough else [0, 0, 0.02, 0.1]),
        entry_failed=random.choice([0.1] if rough else [0, 0.1]),
        stocktwits=random.choice([0.1, 0.4] if rough else [0, 0.1, 0.3, 0.6]),
    )


def _alerts(random: Random, nature: Nature, *, crowded: bool) -> list[Alert]:
    alerts: list[Alert] = []
    # The stream shows the newest 30 posts: many posts by hand hide those that the relay looks for.
    usual = ("do not reach back",) if crowded else ()
    for number in range(1, random.randint(2, 8) + 1):
        after = random.choice([0, random.uniform(0, 300), random.uniform(0, 1800)])
        text = f"$SYM{chr(64 + number)} breaks out, says {number}"
        kind = random.random()
        if kind < 0.1:
            alerts.append(Alert(after, f'{{"body": {number}}}', None, may_be_refused=("body",)))
        elif kind < 0.25:
            expires = after + random.uniform(30, 1800)
            body = {"body": text, "expires_at": f"{_iso(START + expires)}"}
            alerts.append(
                Alert(after, json.dumps(body), text, expires_at=START + expires, may_be_refused=("expired", *usual))
            )
        elif kind < 0.5:
            alerts += _with_a_key(random, number, after, text, usual)
        elif kind < 0.6:  # the same text again, much later
            again = after + random.uniform(45, 120) * MINUTE
            alerts += [Alert(moment, text, text, may_be_refused=("duplicate", *usual)) for moment in (after, again)]
        elif kind < 0.7 and nature.near_identical:
            other = text.replace("$SYM", "$OTHER")
            alerts += [
                Alert(after + 5 * place, each, each, may_be_refused=("duplicate", *usual))
                for place, each in enumerate((text, other))
            ]
        else:
            alerts.append(Alert(after, text, text, may_be_refused=usual))
    if random.random() < 0.2:  # many at once keep several workers busy
        after = random.uniform(0, 1800)
        burst = [f"$MANY{chr(64 + number)} opens, says {number}" for number in range(1, random.randint(8, 16) + 1)]
        alerts += [Alert(after, text, text, may_be_refused=usual) for text in burst]
    return alerts


def _deadly(random: Random, moments: list[float]) -> list[Alert]:
    """Return, on some days, an alert that kills the function, published together with another one."""
    if random.random() < 0.8:
        return []
    text = "$DOOM ends whoever delivers it"
    return [Alert(random.choice(moments), text, text, may_be_refused=(CUT_OFF, "do not reach back"), deadly=True)]


def _with_a_key(random: Random, number: int, after: float, text: str, usual: tuple[str, ...]) -> list[Alert]:
    key = f"key-{number}"
    body = json.dumps({"body": text, "key": key})
    sent_again: list[list[float]] = [[], [0], [1], [random.uniform(0, 7200)], [0, random.uniform(0, 7200)]]
    copies = [0, *random.choice(sent_again)]
    alerts = [Alert(after + later, body, text, key, may_be_refused=usual) for later in copies]
    if random.random() < 0.2:
        other = f"{text}, or does not"
        body = json.dumps({"body": other, "key": key})
        alerts = [
            Alert(each.after, each.body, each.text, key, may_be_refused=("already used", *usual)) for each in alerts
        ]
        alerts.append(Alert(after + 2, body, other, key, may_be_refused=("already used", *usual)))
    return alerts


def _moments(random: Random, within: float, count: int) -> list[float]:
    return sorted(random.uniform(0, within) for _ in range(count))


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()
