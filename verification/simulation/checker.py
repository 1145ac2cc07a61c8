"""What must hold, whatever happened: the promises, one rule each."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from relay.posting.batch import LOOK_SECONDS
from relay.posting.delivery import CUT_OFF, MOST_CUT_OFF, PERHAPS_POSTED
from relay.posting.gate import MICROSECONDS
from relay.posting.stocktwits import CLOCK_SKEW_SECONDS

from verification.simulation.network import SLOW_SECONDS
from verification.simulation.scenario import START
from verification.simulation.world import DRAIN_SECONDS, key_of, reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verification.simulation.sqs import Stored
    from verification.simulation.world import World

UNDER_WAY_SECONDS = LOOK_SECONDS + SLOW_SECONDS
"""How long after the gate was shut a request may still leave: a look at the gate is good for a second."""


TOLD_WITHIN_SECONDS = 10.0
"""How long after a request left everyone knows what its answer forbids, unless AWS fails too."""


def violations(world: World) -> Iterator[str]:
    """Say what does not hold."""
    if world.overdue:
        waiting = [each.body for queue in (world.outbox, world.leftovers) for each in queue.messages]
        yield f"the day does not end: {waiting} still wait"
    yield from _each_once(world)
    yield from _dead_letters(world)
    yield from _cut_off(world)
    yield from _gate(world)
    yield from _walls(world)
    yield from _pace(world)


def _each_once(world: World) -> Iterator[str]:
    """Every accepted message is posted exactly once, or in Dead letters; none is lost."""
    keys: defaultdict[str, dict[str, float]] = defaultdict(dict)
    dead = _dead(world)
    for message_id, alert in world.published:
        if alert.text is None:
            if (message_id, None) not in dead:
                yield f"LOST: {alert.body!r} cannot be posted, but is not in Dead letters"
        else:
            key = alert.key or message_id
            keys[alert.text][key] = min(alert.after, keys[alert.text].get(key, alert.after))
    for text, published in keys.items():
        yield from _one_text(world, text, published, {key: dead.get((key, text), []) for key in published})


def _one_text(world: World, text: str, published: dict[str, float], dead: dict[str, list[Stored]]) -> Iterator[str]:
    """Compare what StockTwits has of a text with what the ledger and Dead letters say of its keys."""
    posts = {post.id: post for post in world.stocktwits.timeline.posts if post.body == text}
    if len(posts) > len(published):
        yield f"TWICE: {text!r} stands on StockTwits {len(posts)} times, for {len(published)} keys"
    recorded = {key: post_id for key in published if (post_id := _recorded(world, key, text))}
    for key, post_id in recorded.items():
        if post_id not in posts:
            yield f"LOST: the ledger says that {key} was posted, but StockTwits has no such post"
        elif posts[post_id].created_at.timestamp() < START + published[key] - CLOCK_SKEW_SECONDS - 1:
            yield f"LOST: {key} counts as posted by a post that is older than the message"
        if not all(PERHAPS_POSTED in reason(each) or _tried_again(world, each) for each in dead[key]):
            yield f"{key} is posted, and in Dead letters because of {reason(dead[key][0])!r}"
    others = published.keys() - recorded.keys()
    untold = [key for key in others if not dead[key]]  # the ledger could not be updated of their post
    unsure = [key for key in others if any(PERHAPS_POSTED in reason(each) for each in dead[key])]
    unrecorded = len(posts.keys() - recorded.values())
    adopted = len(recorded) - len({*recorded.values()})  # of two keys with the same words, one may pass for the other
    if unrecorded < len(untold):
        yield f"LOST: {untold} ({text!r}) are neither posted nor in Dead letters"
    if unrecorded > adopted + len(untold) + len(unsure):
        yield f"{text!r} stands on StockTwits, but its dead letter does not say that it may"


def _recorded(world: World, key: str, text: str) -> int | None:
    """The post that the ledger has of a key, if it has one with this text."""
    item = world.table.items.get(f"post#{key}", {})
    if item.get("status", {}).get("S") != "posted" or item["body_sha256"]["S"] != _sha(text):
        return None
    return int(item["stocktwits_id"]["N"])


def _dead_letters(world: World) -> Iterator[str]:
    """What is in Dead letters has to be there, says why, and is what was published."""
    allowed: defaultdict[str, set[str]] = defaultdict(set)
    for _, alert in world.published:
        allowed[alert.body].update(alert.may_be_refused)
        if _aws_fails(world):  # so may be the function with it, or the answer to what settles it, three times in a row
            allowed[alert.body].add(CUT_OFF)
    for letter in [*world.dead.messages, *world.retried]:
        if letter.body not in allowed:
            yield f"Dead letters holds {letter.body!r}, which nobody published"
        elif not reason(letter):
            yield f"{letter.body!r} is in Dead letters without a reason"
        elif not any(words in reason(letter) for words in allowed[letter.body]):
            yield f"{letter.body!r} is in Dead letters without need: {reason(letter)!r}"


def _cut_off(world: World) -> Iterator[str]:
    """A message that ends the function does so three times, and no more."""
    for text, times in world.stocktwits.ended.items():
        if times > MOST_CUT_OFF and not (_aws_fails(world) or world.forecast.stocktwits):
            yield f"{text!r} ended a function {times} times"


def _gate(world: World) -> Iterator[str]:
    """No request leaves while the gate is known to be shut, and a shut gate burns no receives."""
    for each in (each for times in world.table.shut.values() for each in times):
        for request in world.stocktwits.requests:
            known = each.since + UNDER_WAY_SECONDS < request.at < each.until
            if known and not (request.probe and each.cause != "operator"):
                yield (
                    f"{request.process} asked StockTwits at {clock(request.at)}, but the gate was shut from "
                    f"{clock(each.since)} to {clock(each.until)} ({each.cause})"
                )
        for at, who in world.drained:
            # A drain may have asked up to a whole run before: what it then took is put back untried.
            if each.since + DRAIN_SECONDS < at < each.until - DRAIN_SECONDS:
                yield f"{who} received from Leftovers by {clock(at)} although the gate was shut ({each.cause})"


def _walls(world: World) -> Iterator[str]:
    """What StockTwits told one worker is soon known to all."""
    if _aws_fails(world):  # then it may be that nobody could be told
        return
    for wall in world.stocktwits.requests:
        for request in world.stocktwits.requests:
            if wall.at + TOLD_WITHIN_SECONDS < request.at < wall.keep_away_until:
                yield f"{request.process} asked at {clock(request.at)} what {wall.process} was told not to"


def _pace(world: World) -> Iterator[str]:
    """In no window are more posts let through than the owner's pace allows."""
    pace = world.day.pace
    posts = [each for each in world.stocktwits.requests if each.text is not None]
    admitted = sorted(each.admitted_at for each in posts if each.counts)
    for first, begin in enumerate(admitted):
        for last in range(first + 1, len(admitted)):
            within = round((admitted[last] - begin) * MICROSECONDS)
            most = pace.burst + within // pace.interval
            if last - first + 1 > most:
                yield f"PACE: {last - first + 1} posts within {within / MICROSECONDS:.0f} s, at most {most} are allowed"
                return
    days = Counter(f"{datetime.fromtimestamp(each, UTC):%Y-%m-%d}" for each in admitted)
    for day, count in days.items():
        if pace.per_day and count > pace.per_day:
            yield f"PACE: {count} posts on {day}, at most {pace.per_day} are allowed"


def _aws_fails(world: World) -> bool:
    forecast = world.forecast
    return bool(forecast.throttled or forecast.answer_lost or forecast.killed)


def _dead(world: World) -> dict[tuple[str, str | None], list[Stored]]:
    """The dead letters, by key and text."""
    texts = {alert.body: alert.text for _, alert in world.published}
    found: defaultdict[tuple[str, str | None], list[Stored]] = defaultdict(list)
    for letter in world.dead.messages:
        found[key_of(letter), texts.get(letter.body)].append(letter)
    return found


def _tried_again(world: World, letter: Stored) -> bool:
    """Whether it is a second copy of one that was tried again: who dies before acknowledging buries again."""
    return (key_of(letter), reason(letter)) in {(key_of(each), reason(each)) for each in world.retried}


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def clock(moment: float) -> str:
    """A moment as the trace shows it."""
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S.%f}"[:-3]
