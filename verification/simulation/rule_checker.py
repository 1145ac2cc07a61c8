"""The owner's rules, an invariant each, which must hold on every day. The checks know the rules only by their words."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from relay.posting.delivery import DUPLICATE_MARGIN_SECONDS, DUPLICATE_TWICE, DUPLICATE_WINDOW_SECONDS, PERHAPS_POSTED
from relay.posting.outcome import Status
from relay.posting.spacing import LATEST_SECONDS

from verification.simulation.checker import UNDER_WAY_SECONDS, clock, repeats
from verification.simulation.network import SLOW_SECONDS
from verification.simulation.scenario import START
from verification.simulation.world import DRAIN_SECONDS, key_of, reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stand_ins.stocktwits.api import PostRecord
    from verification.simulation.scenario import Alert
    from verification.simulation.world import Held, World

SETTLED_SECONDS = 60.0
"""How long after an answer everyone can read its outcome, unless AWS fails."""

_MORE_THAN_A_DUPLICATE = (DUPLICATE_TWICE, PERHAPS_POSTED, "given up after")

MOST_HIDDEN_SECONDS = 12 * 3600.0
"""How long SQS hides a message at most."""

OUTBOX_SECONDS = 2.0
"""What is kept back does not wait in the Outbox: it comes back at once, until it is in Leftovers."""

JITTER_SECONDS = 60.0
"""How much longer than its rule says a message may be hidden."""


def broken_rules(world: World) -> Iterator[str]:
    """Yield a description of each violation."""
    yield from _hours(world)
    yield from _stale(world)
    yield from _expired(world)
    yield from _too_soon(world)
    yield from _spaced(world)
    yield from _written(world)
    yield from _held(world)
    yield from _freed(world)
    yield from _duplicates(world)
    # One whose delivery was cut off is delivered alone, after the others.
    for at, key in [] if world.network.kills else world.overtaken:
        yield f"{key} was sent at {clock(at)} before one of high priority in the same batch"


def _shut(world: World, at: float) -> bool:
    return any(begin <= at - START < end for begin, end in world.day.rules.shut)


def _hours(world: World) -> Iterator[str]:
    """Nothing is asked of StockTwits outside the posting hours, and nothing is received from Leftovers."""
    for request in world.stocktwits.requests:
        known = _shut(world, request.at) and _shut(world, request.at - UNDER_WAY_SECONDS)
        if known and not repeats(world, request):
            yield f"HOURS: {request.process} asked StockTwits at {clock(request.at)}, outside the posting hours"
    for at, who in world.drained:
        if all(_shut(world, at + seconds) for seconds in (-DRAIN_SECONDS, 0, DRAIN_SECONDS)):
            yield f"HOURS: {who} received from Leftovers by {clock(at)}, outside the posting hours"


def deadlines(world: World) -> dict[str, float]:
    """Return when each text expires, in seconds since the epoch: the latest of its messages counts."""
    found: defaultdict[str, float] = defaultdict(float)
    for _, alert in world.published:
        if alert.text is not None:
            found[alert.text] = max(found[alert.text], _deadline(world, alert))
    for letter in world.retried:  # it is a new message
        for _, alert in world.published:
            if alert.body == letter.body and alert.text is not None:
                found[alert.text] = math.inf
    return found


def _stale(world: World) -> Iterator[str]:
    """Nothing is posted after it expired."""
    latest = deadlines(world)
    for request in world.stocktwits.requests:
        if request.text and request.at > latest[request.text] + UNDER_WAY_SECONDS:
            expired = clock(latest[request.text])
            yield f"STALE: {request.text!r} expired at {expired}, and was sent at {clock(request.at)}"


def _expired(world: World) -> Iterator[str]:
    """What ends in the log alone had expired, was told to, and may not have been posted."""
    texts = {alert.key or message_id: alert.text or "" for message_id, alert in world.published}
    latest = deadlines(world)
    for key, at in world.expired.items():
        text = texts[key]
        if world.day.rules.expired_to != "log":
            yield f"{key} expired to the log, and not to Dead letters"
        if at < min(latest[text], *_own_deadlines(world, key)):
            yield f"{key} expired at {clock(at)}, before its time"
        # A later message under its key begins anew.
        before = [each for each in world.table.changes[f"post#{key}"] if each.at <= at]
        if any(each.status == Status.UNKNOWN for each in before):
            yield f"LOST: {text!r} may be on StockTwits, but expired to the log"
        again = sum((alert.key or message_id) == key for message_id, alert in world.published) > 1
        if list(texts.values()).count(text) == 1 and _made_by(world, text, at if again else math.inf):
            yield f"LOST: {text!r} is on StockTwits, but expired to the log"


def _own_deadlines(world: World, key: str) -> list[float]:
    return [_deadline(world, alert) for message_id, alert in world.published if (alert.key or message_id) == key]


def _deadline(world: World, alert: Alert) -> float:
    """Return when a message expires, in seconds since the epoch, by its own word or by the owner's rule."""
    by_default = 60.0 * world.day.rules.default_expiry_minutes or math.inf
    return alert.expires_at or max(START + alert.after, alert.not_before or 0) + by_default


def _too_soon(world: World) -> Iterator[str]:
    """Nothing is posted before its own ``not_before``."""
    earliest: dict[str, float] = {}
    for _, alert in world.published:
        if alert.text:
            earliest[alert.text] = min(earliest.get(alert.text, math.inf), alert.not_before or 0)
    for request in world.stocktwits.requests:
        if request.text and request.at < earliest[request.text]:
            yield f"EARLY: {request.text!r} was sent at {clock(request.at)}, before {clock(earliest[request.text])}"


def _spaced(world: World) -> Iterator[str]:
    """No two posts are too alike too soon, or about one symbol within its time; posts by hand do not count."""
    rules = world.day.rules
    made = [each for each in world.stocktwits.timeline.posts if not each.source]
    named: defaultdict[tuple[str, float], list[PostRecord]] = defaultdict(list)
    for post in made:
        for name, seconds in _names(world, post.body):
            named[name, seconds].append(post)
    for (name, seconds), posts in named.items():
        times = sorted(post.created_at.timestamp() for post in posts)
        for first, second in pairwise(times):
            if second - first < seconds:
                yield f"SPACING: two posts for {name!r} at {clock(first)} and {clock(second)} ({rules})"


def _written(world: World) -> Iterator[str]:
    """A claimed message takes all its names in one request; one that is kept back writes nothing."""
    if world.forecast.aws_fails:  # then a request whose answer was lost is sent again
        return
    for key in {each.key for each in world.table.taken}:
        requests = len({each.at for each in world.table.taken if each.key == key})
        claims = sum(each.status == Status.CLAIMED for each in world.table.changes[f"post#{key}"])
        if requests > claims:
            yield f"SPACING: {key} took its names with {requests} requests, although it was claimed {claims} times"


def _names(world: World, text: str) -> Iterator[tuple[str, float]]:
    rules = world.day.rules
    if rules.symbol_cooldown_minutes:
        for symbol in {each.upper() for each in re.findall(r"(?<!\w)\$([A-Za-z]+(?:\.[A-Za-z])?)\b", _plain(text))}:
            yield f"${symbol}", 60.0 * rules.symbol_cooldown_minutes
    if rules.alike_minutes:
        without = re.sub(r"\$[A-Za-z]+(\.[A-Za-z])?|[0-9]+", "", _plain(text))
        yield " ".join(without.split()), 60.0 * rules.alike_minutes


def _plain(text: str) -> str:
    return re.sub(r"https?://\S+", "", text)


def _held(world: World) -> Iterator[str]:
    """What a rule keeps back is hidden until its end, its expiry or SQS' limit, and hardly longer."""
    until = {each.receipt: each for each in world.held}
    for queue in (world.outbox, world.leftovers):
        for receipt, at, visible_at in queue.hidden:
            held = until.get(receipt)
            if held and queue is world.outbox:
                if visible_at > at + OUTBOX_SECONDS:
                    yield f"HELD: {receipt} stays in the Outbox until {clock(visible_at)}"
                continue
            if held and visible_at > max(held.until, at) + JITTER_SECONDS:
                yield f"HELD: {receipt} is hidden until {clock(visible_at)}, and was to wait until {clock(held.until)}"
            if held and visible_at < min(held.until, at + MOST_HIDDEN_SECONDS - 400):
                yield f"HELD: {receipt} comes back at {clock(visible_at)}, although it waits until {clock(held.until)}"
    for each in world.held:
        if reason_why := _unfounded(world, each):
            yield f"HELD: {each.receipt} was kept back at {clock(each.at)} until {clock(each.until)}: {reason_why}"


def _unfounded(world: World, held: Held) -> str:
    """Return why nothing should have kept a message back, if so."""
    rules = world.day.rules
    for hold in held.holds:
        if hold.cause == "not_before":
            continue
        if hold.cause == "duplicate":
            if hold.until > held.at + DUPLICATE_WINDOW_SECONDS + DUPLICATE_MARGIN_SECONDS:
                return "longer than StockTwits remembers a text"
            continue
        minutes = rules.symbol_cooldown_minutes if hold.cause == "symbol" else rules.alike_minutes
        by_others = [each for each in world.table.taken if each.key != held.key and each.at <= held.at]
        longest = max((each.at + LATEST_SECONDS + 60 * minutes for each in by_others), default=0)
        if hold.until > longest + SLOW_SECONDS:
            return f"no other post took what it needs ({hold.reason})"
    return ""


def _freed(world: World) -> Iterator[str]:
    """A post that was not made keeps nobody waiting."""
    if world.forecast.aws_fails or world.network.kills:
        return
    texts: defaultdict[str, set[str | None]] = defaultdict(set)
    for message_id, alert in world.published:
        texts[alert.key or message_id].add(alert.text)
    for held in world.held:
        # Which of its texts a key took its names for is not known here.
        if not {hold.cause for hold in held.holds} & {"alike", "symbol"} or len(texts[held.key]) > 1:
            continue
        names = {each.name for each in world.table.taken if each.key == held.key}
        others = [each for each in world.table.taken if each.at < held.at and each.key != held.key]
        last = {each.name: each for each in others if each.name in names or not names}.values()
        states = {_status_between(world, each.key, held.at - SETTLED_SECONDS, held.at) for each in last}
        newest = any(each.at > held.at - SETTLED_SECONDS for each in last)
        if states and states <= {Status.RELEASED} and not newest:
            yield f"HELD: {held.receipt} was kept back at {clock(held.at)}, but nothing was posted before"


def _status_between(world: World, key: str, since: float, until: float) -> str:
    """Return the status that a key has had from one moment to another, empty if it changed meanwhile."""
    changes = world.table.changes[f"post#{key}"]
    if any(since < each.at <= until for each in changes):
        return ""
    return next((each.status for each in reversed(changes) if each.at <= since), "")


def _duplicates(world: World) -> Iterator[str]:
    """By ``WhenDuplicate``, what StockTwits takes for a duplicate is tried once more, and no more."""
    waits = world.day.rules.when_duplicate == "wait"
    for letter in [*world.dead.messages, *world.retried] if waits else []:
        why = reason(letter)
        if "as a duplicate" in why and not any(words in why for words in _MORE_THAN_A_DUPLICATE):
            yield f"{letter.body!r} is in Dead letters at its first duplicate: {why}"
    if world.day.nature.contrary is not None or world.forecast.aws_fails or world.forecast.stocktwits:
        return
    for text in {alert.text for _, alert in world.published if alert.text}:
        keys = {alert.key or message_id for message_id, alert in world.published if alert.text == text}
        refused = sum(each.duplicate for each in world.stocktwits.requests if each.text == text)
        retried = sum(key_of(each) in keys for each in world.retried)
        if refused > (len(keys) + retried) * (2 if waits else 1):
            yield f"{text!r} was refused as a duplicate {refused} times"


def _made_by(world: World, text: str, moment: float) -> bool:
    posts = [each for each in world.stocktwits.timeline.posts if each.body == text and not each.source]
    return any(each.created_at.timestamp() < moment for each in posts)
