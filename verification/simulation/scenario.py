"""The day of a seed: the published messages, the account, and the faults."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any

from relay.posting.delivery import CUT_OFF
from relay.posting.gate import Pace

from local.stand_ins.stocktwits.contrary import CREATE, Contrary
from local.stand_ins.stocktwits.faults import Fault, PlannedFault, plan
from verification.simulation import rules
from verification.simulation.network import Weather
from verification.simulation.rules import MINUTE, Rules
from verification.simulation.stocktwits import HIDES, Links, Nature

if TYPE_CHECKING:
    from collections.abc import Callable

START = 1_800_000_000.0 - 8 * 3600 - 1800
"""Half an hour before midnight (UTC), so that posts of two days count towards a daily cap."""

HOUR = 60 * MINUTE
FOR_EVER = 30 * 24 * HOUR

CONTRARY = 0.5
"""The share of days on which StockTwits is contrary."""

RULED = 0.4
"""The share of days on which the owner has rules."""

NEVER = frozenset(
    {
        Contrary.DUPLICATE_ACCEPTED,  # `Nature.forgetful` is for a whole day
        Contrary.PARENT_HIDDEN,  # no alert is a reply,
        Contrary.CHART_MISSING,  # and none has a chart
    }
)
"""These are not drawn."""

NEXT = {0: "$NEXT comes", 1: "$THEN goes", 8: "$LATER stays", 24: "$LAST falls"}
"""What is published afterwards, and how many hours later, on days on which a text is refused for ever."""

CANNOT_BE_POSTED = "This message cannot be posted"

POISONS: tuple[tuple[Contrary, dict[str, Any]], ...] = (
    (Contrary.ERROR, {"status": 403}),
    (Contrary.ERROR, {"status": 401, "message": "You may not post this message"}),
    (Contrary.ERROR, {"status": 405, "message": "Something about this request"}),
    (Contrary.PAGE, {"status": 404}),
    (Contrary.PAGE, {"status": 403, "by": "cloudflare"}),
    (Contrary.EMPTY, {"status": 400}),
    (Contrary.OTHER_JSON, {"form": "message", "status": 422}),
    (Contrary.PROBLEM, {}),
    (Contrary.INNER_STATUS, {"status": 422, "message": CANNOT_BE_POSTED}),
    (Contrary.INNER_STATUS, {"status": 401, "message": "You may not post this message"}),
)
"""How a text may be refused for ever."""

FILINGS = "https://filings.example/"
"""The links of alerts that differ in nothing else."""

BURST = "$MANY"
"""How the texts of a burst begin, which are alike."""

TWINS: tuple[tuple[str, ...], ...] = (
    ("{0}1", "{0}2", "{0}3"),
    ("{0}view?id=1", "{0}view?id=2"),
    ("{0}1 {0}", "{0}2 {0}"),
    ("{0}1 {0}2", "{0}2 {0}1"),
)
"""The links of such alerts."""

TAKEN = (Fault.TIMEOUT_AFTER, Fault.RESET_AFTER, Fault.ERROR_AFTER)
NOT_TAKEN = (Fault.TIMEOUT_BEFORE, Fault.RESET_BEFORE, Fault.ERROR_BEFORE)
"""How the answer to a post is lost that StockTwits took, or did not take."""

STYLES: tuple[str, ...] = (
    "{}",
    "{} https://charts.example/a?utm_source=relay",
    "{} - see example.com/a",
    '{}: "buy"... it\'s time -- now',
    "{} \N{ROCKET}",
    "{}  after\N{ZERO WIDTH SPACE} caf\u00e9 & <sons>",
    "{} \N{FULLWIDTH LATIN CAPITAL LETTER T}okyo cafe\u0301",
)
"""How texts look that StockTwits may render in other ways."""


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
        poison: How StockTwits refuses it for ever, if it does.
        lost: How the first answer to it is lost, if it is.
        not_before: When it may be posted at the earliest, in seconds since the epoch.
        relay_key: The message attribute ``RelayKey``, if it has one.
    """

    after: float
    body: str
    text: str | None
    key: str | None = None
    expires_at: float | None = None
    may_be_refused: tuple[str, ...] = ()
    deadly: bool = False
    poison: PlannedFault | None = None
    lost: Fault | None = None
    not_before: float | None = None
    relay_key: str = ""

    @property
    def high(self) -> bool:
        """Whether it is of high priority."""
        return '"priority": "high"' in self.body


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
        pauses_end: Whether those pauses were meant to end by themselves, long after they are lifted.
        new_token_after: When the token is revoked, in seconds after the start, if it is.
        posts_by_hand: When the owner posts by hand, in seconds after the start.
        lookalikes: What else the owner posts by hand, and when: texts much like an alert's.
        rules: The owner's rules.
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
    pauses_end: bool = False
    new_token_after: float | None = None
    posts_by_hand: list[float] = field(default_factory=list)
    lookalikes: list[tuple[float, str]] = field(default_factory=list)
    rules: Rules = field(default_factory=Rules)

    def __str__(self) -> str:
        """Describe the day in a few lines."""
        pace = (
            f"{self.pace.per_hour} posts an hour, {self.pace.burst} at once, {self.pace.per_day or 'any number'} a day"
        )
        return (
            f"{len(self.alerts)} alerts, {pace}, {self.concurrency} requests at a time; {self.nature}; {self.weather}; "
            f"restless {self.restless:.2f}, two drains {self.two_drains}, pauses {self.pauses}, "
            f"new token after {self.new_token_after}, {len(self.posts_by_hand)} posts by hand, "
            f"lookalikes {self.lookalikes}, {self.rules}"
        )


def scenario(seed: int, *, rough: bool = False, ruled: bool | None = None) -> Scenario:
    """Return the day of a seed.

    Args:
        seed: The seed.
        rough: Whether all faults occur at once, which finds a defect sooner.
        ruled: Whether the owner has rules; drawn if that is not said.
    """
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
    alerts += _twins(Random(f"twins {seed}"))
    nature.links = Random(f"links {seed}").choice([*Links])
    day = Scenario(
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
        pauses_end=seed % 2 == 1,
        new_token_after=random.uniform(0, storm) if random.random() < 0.1 else None,
        posts_by_hand=by_hand,
    )
    chance = Random(f"contrary {seed}")
    day = _contrary(chance, day) if chance.random() < CONTRARY else day
    chance = Random(f"rules {seed}")
    drawn = chance.random() < RULED
    return _ruled(chance, day) if (drawn if ruled is None else ruled) else day


def _ruled(random: Random, day: Scenario) -> Scenario:
    """Let the owner have rules on this day, and publish alerts that meet them."""
    alerts = rules.ruled(random, START)
    owners = rules.rules(random)
    owners, later = rules.for_later(Random(f"later {day.seed}"), START, owners)
    closing = rules.at_closing(Random(f"closing {day.seed}"), owners)
    if closing:  # all of them may go at once
        day = replace(day, pace=Pace(per_hour=600, burst=10, per_day=0))
    more = [
        Alert(
            each.after,
            each.body,
            each.text,
            expires_at=None if each.expires is None else START + each.expires,
            may_be_refused=("duplicate", "expired", *each.refused),
            not_before=None if each.not_before is None else START + each.not_before,
        )
        for each in (*alerts, *later, *closing)
    ]
    return replace(day, rules=owners, alerts=[*day.alerts, *more])


def _contrary(random: Random, day: Scenario) -> Scenario:
    """Let StockTwits do on this day what it does not document."""
    nature = day.nature
    remembers = not nature.forgetful and random.random() < 0.5
    fair = [each for each in Contrary if each not in NEVER and (remembers or each not in HIDES)]
    if day.weather.aws_fails:  # that an id is another's is noticed only if it could be written down whose it is
        fair = [each for each in fair if each is not Contrary.ID_OF_ANOTHER]
    drawn = random.choice([fair, fair, random.sample(fair, random.randint(1, 4))])
    if remembers and HIDES & {*drawn}:
        drawn = [each for each in drawn if each is not Contrary.DUPLICATE]  # it changes how long texts are remembered
        nature = replace(nature, remembers=FOR_EVER)
    nature = replace(nature, contrary=day.seed, share=random.choice([0.05, 0.2, 0.5]), behaviours=tuple(drawn))
    style = random.choice(STYLES)
    alerts = [_restyled(each, style.format) for each in day.alerts]
    poisoned = _poisoned(random, [each.after for each in alerts])
    alerts += poisoned
    for poison in poisoned:  # others go on being published
        begin = max(day.storm, poison.after)
        alerts += [Alert(begin + later * HOUR, text, text) for later, text in NEXT.items()]
    pace = replace(day.pace, per_day=0) if poisoned else day.pace
    alerts, lookalikes = _lookalikes(random, alerts)
    by_hand = day.posts_by_hand or [random.uniform(0, day.storm) for _ in range(random.choice([0, 0, 40, 100]))]
    return replace(day, nature=nature, alerts=alerts, pace=pace, posts_by_hand=by_hand, lookalikes=lookalikes)


def _restyled(alert: Alert, style: Callable[[str], str]) -> Alert:
    if alert.text is None:
        return alert
    text = style(alert.text)
    if alert.body == alert.text:
        return replace(alert, body=text, text=text)
    return replace(alert, body=json.dumps(json.loads(alert.body) | {"body": text}), text=text)


def _twins(random: Random) -> list[Alert]:
    """Return, on some days, alerts that differ in nothing but their links; perhaps the first answers to all are lost.

    Then one of them was taken, and of the others nobody knows.
    """
    if random.random() < 0.6:
        return []
    words = random.choice(["", "New filing of $LINK "])
    texts = [words + links.format(FILINGS) for links in random.choice(TWINS)]
    after = random.uniform(0, 1800)
    twins = [Alert(after + random.uniform(0, 20), text, text) for text in texts]
    if random.random() < 0.5:
        return twins
    taken = random.randrange(len(twins))
    return [
        replace(twin, lost=random.choice(TAKEN if place == taken else NOT_TAKEN)) for place, twin in enumerate(twins)
    ]


def _poisoned(random: Random, moments: list[float]) -> list[Alert]:
    """Return, on some days, an alert that StockTwits refuses for ever, published together with another one."""
    if random.random() < 0.6:
        return []
    behaviour, details = random.choice(POISONS)
    text, poison = "$POISON cannot be posted", plan(behaviour, None, None, CREATE, details)
    reasons = ("took another message in between", "given up after", CANNOT_BE_POSTED)
    return [Alert(random.choice(moments), text, text, may_be_refused=reasons, poison=poison)]


def _lookalikes(random: Random, alerts: list[Alert]) -> tuple[list[Alert], list[tuple[float, str]]]:
    """Return what the owner posts that is much like an alert; the same text only before that one is published.

    Afterwards no client could tell it from the alert's own post.
    """
    which = random.randrange(len(alerts))
    alert = alerts[which]
    kind = random.random()
    if kind < 0.6 or alert.text is None or alert.poison or alert.key or FILINGS in alert.text:
        return alerts, []
    if kind < 0.8:
        return alerts, [(alert.after + random.uniform(-30, 600), f"{alert.text}, as I said")]
    before = random.uniform(1, 120)
    same = (alert.after, alert.text)
    later = replace(alert, after=alert.after + before, may_be_refused=(*alert.may_be_refused, "duplicate"))
    if any(each.text == alert.text for each in alerts[:which] + alerts[which + 1 :]):
        return alerts, []
    return [*alerts[:which], later, *alerts[which + 1 :]], [same]


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
    usual = ("could not be read back",) if crowded else ()
    for number in range(1, random.randint(2, 8) + 1):
        after = random.choice([0, random.uniform(0, 300), random.uniform(0, 1800)])
        text = f"$SYM{chr(64 + number)} breaks out, says {number}"
        kind = random.random()
        if kind < 0.1:
            alerts.append(Alert(after, f'{{"body": {number}}}', None, may_be_refused=("body",)))
        elif kind < 0.25:
            expires = after + random.uniform(30, 1800)
            body = {"body": text, "expires_at": f"{rules.iso(START + expires)}"}
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
        burst = [f"{BURST}{chr(64 + number)} opens, says {number}" for number in range(1, random.randint(8, 16) + 1)]
        alerts += [Alert(after, text, text, may_be_refused=usual) for text in burst]
    return alerts


def _deadly(random: Random, moments: list[float]) -> list[Alert]:
    """Return, on some days, an alert that kills the function, published together with another one."""
    if random.random() < 0.8:
        return []
    text = "$DOOM ends whoever delivers it"
    return [Alert(random.choice(moments), text, text, may_be_refused=(CUT_OFF,), deadly=True)]


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
