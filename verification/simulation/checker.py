"""The relay's guarantees, one rule each, which must hold on every day."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from relay.posting.batch import LOOK_SECONDS
from relay.posting.delivery import CUT_OFF, MOST_CUT_OFF, NO_ID_TWICE, NOT_FOUND_IN_TIME, PERHAPS_POSTED
from relay.posting.gate import MICROSECONDS
from relay.posting.outcome import Status
from relay.posting.reconciliation import CLOCK_SKEW_SECONDS

from local.stand_ins.stocktwits.contrary import Contrary
from local.stand_ins.stocktwits.rendering import LINK
from verification.simulation.network import SLOW_SECONDS
from verification.simulation.rules import TOO_LATE
from verification.simulation.scenario import BURST, FILINGS, START
from verification.simulation.stocktwits import HIDES, Links
from verification.simulation.world import DRAIN_SECONDS, POST_SECONDS, key_of, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from verification.simulation.scenario import Scenario
    from verification.simulation.sqs import Stored
    from verification.simulation.stocktwits import Request
    from verification.simulation.world import World

UNDER_WAY_SECONDS = LOOK_SECONDS + SLOW_SECONDS
"""How long after the gate was closed a request may still start: a look at the gate is valid for a second."""

REPEATED_SECONDS = 8.0
"""How long after a request the same one may follow with a newer token: StockTwits' slowest answer takes 6 s, and each
way to AWS up to a second."""

COMES_BACK_SECONDS = 60.0
"""How long a message that waits for the gate alone may be invisible once it is open: with the drain's minute, two."""

RATE_LIMIT_SECONDS = 3600.0
"""The longest rate limit of these days, and more: StockTwits' limits are hourly."""

DAY_SECONDS = 86_400.0

SHARED_WITHIN_SECONDS = 10.0
"""How long after a request its pause is known to all workers, unless AWS fails too."""


REFUSED_TWICE = "took another message in between"
_UNREADABLE = {Contrary.ID_MISSING, Contrary.ID_ODD, Contrary.NOT_OBJECTS}
_NAMELESS = {*_UNREADABLE, Contrary.ID_OF_ANOTHER, Contrary.PAGE, Contrary.EMPTY, Contrary.OTHER_JSON}


def _does(*behaviours: Contrary) -> Callable[[Scenario], bool]:
    """Return whether StockTwits does one of these on a day."""
    return lambda day: day.nature.contrary is not None and not {*behaviours}.isdisjoint(day.nature.behaviours)


def _has_lookalikes(day: Scenario) -> bool:
    return bool(day.lookalikes)


def _shuts_for_days(day: Scenario) -> bool:
    return any(until - begin > DAY_SECONDS for begin, until in day.rules.shut)


def _has_burst(day: Scenario) -> bool:
    return any(BURST in (each.text or "") for each in day.alerts)


def _has_twins(day: Scenario) -> bool:
    return any(FILINGS in (each.text or "") for each in day.alerts)


def _has_repeats(day: Scenario) -> bool:
    """Return whether a text is sent more than once: as other alerts, or without a key."""
    return len({each.text for each in day.alerts}) < len(day.alerts)


def _hides_links(day: Scenario) -> bool:
    return day.nature.links is not Links.SHOWN or _does(Contrary.LINKS)(day)


def _hides_links_of_twins(day: Scenario) -> bool:
    """Return whether StockTwits hides where the links lead of alerts that differ in nothing else."""
    return _has_twins(day) and _hides_links(day)


EXPLAINED: Mapping[str, Callable[[Scenario], bool]] = {
    REFUSED_TWICE: _does(
        Contrary.PAGE, Contrary.EMPTY, Contrary.OTHER_JSON, Contrary.ERROR, Contrary.PROBLEM, Contrary.INNER_STATUS
    ),
    "duplicate": _does(Contrary.DUPLICATE, Contrary.INNER_STATUS),
    "is much like it": lambda day: (
        _has_lookalikes(day) or _has_twins(day) or _does(Contrary.RENDERED, *_UNREADABLE)(day)
    ),
    "without a readable id": _does(*_UNREADABLE),
    "may be older than the first attempt": lambda day: (
        _has_lookalikes(day)
        or _hides_links_of_twins(day)
        or _does(Contrary.CREATED_AT, Contrary.ID_OF_ANOTHER, *_UNREADABLE)(day)
    ),
    "compare their links": lambda day: _hides_links(day) and (_has_twins(day) or _has_repeats(day)),
    "could not be read back": _does(Contrary.MAX_IGNORED, Contrary.SHORT, Contrary.ID_OF_ANOTHER, *_UNREADABLE),
    # Each page of the stream takes long, there are many, and with short posting hours there are few attempts. In rare
    # ones, or when many are alike and an hour a day lets one or two of them through, a post may have to wait for
    # another one until they are over.
    TOO_LATE: lambda day: (
        ((day.nature.slowness > 1 or day.rules.rare) and day.nature.contrary is not None and bool(day.rules.shut))
        or (day.rules.rare and bool(day.rules.alike_minutes or day.rules.symbol_cooldown_minutes))
        or (_has_burst(day) and _shuts_for_days(day) and bool(day.rules.alike_minutes))
    ),
    NOT_FOUND_IN_TIME: _does(*HIDES, Contrary.DUPLICATE, Contrary.INNER_STATUS),
    NO_ID_TWICE: _does(*_NAMELESS),
}
"""Parts of reasons, and the days that explain them."""


def violations(world: World) -> Iterator[str]:
    """Yield a description of each violation."""
    if world.overdue:
        waiting = [each.body for queue in (world.outbox, world.leftovers) for each in queue.messages]
        yield f"the day does not end: {waiting} are still waiting"
    yield from _each_once(world)
    yield from _owners(world)
    yield from _dead_letters(world)
    yield from _leases(world)
    yield from _duplicates(world)
    yield from _cut_off(world)
    yield from _alone(world)
    yield from _gate(world)
    yield from _shared_pauses(world)
    yield from _rate_limits(world)
    yield from _waits(world)
    yield from _poisons(world)
    yield from _pace(world)


def _each_once(world: World) -> Iterator[str]:
    """Every message ends as a single post or in Dead letters."""
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
    """Compare the posts of a text with the entries of its keys in the ledger and in Dead letters."""
    posts = {post.id: post for post in world.stocktwits.timeline.posts if post.body == text and not post.source}
    if len(posts) > len(published):
        yield f"TWICE: {text!r} is on StockTwits {len(posts)} times, for {len(published)} keys"
    recorded = {key: post_id for key in published if (post_id := _recorded(world, key, text))}
    disputed = 0
    for key, post_id in recorded.items():
        if post_id not in posts:
            if not _is_disputed(world, post_id):
                yield f"LOST: the ledger has {key} as posted, but post {post_id} is not of {text!r}"
            disputed += 1
            continue
        created_at = posts[post_id].created_at.timestamp()
        if created_at < START + published[key] - CLOCK_SKEW_SECONDS - 1:
            yield f"LOST: {key} counts as posted by a post that is older than the message"
        for letter in dead[key]:
            # Of two messages with one key, one may be refused for certain before the other one is posted.
            certain = PERHAPS_POSTED not in reason(letter) and letter.sent_at > created_at
            if certain and not _tried_again(world, letter):
                yield f"{key} is posted, and in Dead letters because of {reason(letter)!r}"
    others = published.keys() - recorded.keys()
    # The ledger could not record the post of these, unless they expired to the log.
    unrecorded_keys = [key for key in others if not dead[key] and key not in world.expired]
    unsure = [key for key in others if any(PERHAPS_POSTED in reason(each) for each in dead[key])]
    unrecorded = len(posts.keys() - recorded.values())
    if unrecorded < len(unrecorded_keys):
        yield f"LOST: {unrecorded_keys} ({text!r}) are neither posted nor in Dead letters"
    if unrecorded > len(unrecorded_keys) + len(unsure) + disputed:
        yield f"{text!r} is on StockTwits, but its dead letter does not say that it may be"


def _owners(world: World) -> Iterator[str]:
    """A post belongs to one key."""
    settled: defaultdict[str, set[str]] = defaultdict(set)
    for pk, item in world.table.items.items():
        if "stocktwits_id" in item:
            settled[item["stocktwits_id"]["N"]].add(pk.removeprefix("post#"))
    for post_id, keys in settled.items():
        if len(keys) > 1:
            yield f"post {post_id} belongs to {sorted(keys)}"
        owner = world.table.items.get(f"id#{post_id}", {"key": {"S": ""}})["key"]["S"]
        if owner not in keys and not world.forecast.aws_fails:
            yield f"post {post_id} is settled for {sorted(keys)}, but belongs to {owner!r}"


def _is_disputed(world: World, post_id: int) -> bool:
    """Return whether a post is of an alert that differs only in its link, and that one is not lost.

    StockTwits shortens links. Where nothing else shows where they lead, of two such alerts whose answers were lost no
    client could tell which one a post is, so they may change places, or an operator is asked. Nothing but links proves
    nothing, so that such alerts never change places.
    """
    made = next((each for each in world.stocktwits.timeline.posts if each.id == post_id), None)
    if made is None or made.source or FILINGS not in made.body:
        return False
    if not _hides_links(world.day) or not LINK.sub("", made.body).strip():
        return False
    dead, body = _dead(world), made.body
    keys = [message_id for message_id, alert in world.published if alert.text == body]
    return any(
        _recorded(world, key, body) or any(PERHAPS_POSTED in reason(each) for each in dead.get((key, body), []))
        for key in keys
    )


def _recorded(world: World, key: str, text: str) -> int | None:
    """Return the post id in the ledger for a key and this text, if any; perhaps only that it belongs to the key."""
    item = world.table.items.get(f"post#{key}", {})
    if not item or item["body_sha256"]["S"] != _sha(text):
        return None
    if item["status"]["S"] == Status.POSTED:
        return int(item["stocktwits_id"]["N"])
    owned = (pk for pk, each in world.table.items.items() if pk.startswith("id#") and each["key"]["S"] == key)
    return next((int(pk.removeprefix("id#")) for pk in owned), None)


def _dead_letters(world: World) -> Iterator[str]:
    """Each dead letter was published, has a reason, and the reason is allowed on this day."""
    allowed: defaultdict[str, set[str]] = defaultdict(set)
    everywhere = {words for words, is_explained in EXPLAINED.items() if is_explained(world.day)}
    if world.day.rules.default_expiry_minutes:
        everywhere.add("DefaultExpiryMinutes")
    if world.forecast.aws_fails:  # then a delivery may be cut off three times in a row
        everywhere.add(CUT_OFF)
    if world.forecast.stocktwits:  # its faults may meet the same message twice
        everywhere |= {REFUSED_TWICE, NO_ID_TWICE}
    for _, alert in world.published:
        # A text that is refused for ever is never taken, whatever the answer looks like.
        allowed[alert.body].update(everywhere - ({NO_ID_TWICE} if alert.poison else set()), alert.may_be_refused)
    for letter in [*world.dead.messages, *world.retried]:
        if letter.body not in allowed:
            yield f"Dead letters has {letter.body!r}, which was never published"
        elif not reason(letter):
            yield f"{letter.body!r} is in Dead letters without a reason"
        elif not any(words in reason(letter) for words in allowed[letter.body]):
            yield f"{letter.body!r} is in Dead letters for no valid reason: {reason(letter)!r}"


def _cut_off(world: World) -> Iterator[str]:
    """A message that kills the function does so three times at most, in a row."""
    if world.day.nature.contrary is not None:  # a search that fails in between ends the row
        return
    for text, times in world.stocktwits.ended.items():
        if times > MOST_CUT_OFF and not (world.forecast.aws_fails or world.forecast.stocktwits):
            yield f"{text!r} killed a function {times} times"


def _leases(world: World) -> Iterator[str]:
    """Whoever claims a key has it alone, for as long as a function may run."""
    for pk, changes in world.table.changes.items():
        for first, second in pairwise(changes):
            if first.status == second.status == Status.CLAIMED and second.at < first.at + POST_SECONDS:
                yield f"{second.by} claimed {pk} at {clock(second.at)}, but {first.by} had it"


def _duplicates(world: World) -> Iterator[str]:
    """What was refused as a duplicate of perhaps its own post is never sent again."""
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for message_id, alert in world.published:
        keys[alert.text or ""].add(alert.key or message_id)
    creates = [each for each in world.stocktwits.requests if each.text]
    for place, request in enumerate(creates):
        key, *others = keys[request.text or ""]
        if not request.duplicate or others or _status_after(world, key, request) != Status.UNKNOWN:
            continue
        if again := [each for each in creates[place + 1 :] if each.text == request.text]:
            yield f"{request.text!r} was a duplicate at {clock(request.at)}, and was sent again at {clock(again[0].at)}"


def _alone(world: World) -> Iterator[str]:
    """A message whose delivery was cut off before is delivered alone, so that no other one is blamed for it."""
    if world.forecast.throttled or world.forecast.answer_lost:  # others may look claimed that are done with
        return
    deadly = {alert.text: f"post#{message_id}" for message_id, alert in world.published if alert.deadly}
    for request in world.stocktwits.requests:
        if request.text not in deadly:
            continue
        claimed = dict(_claimed_by(world, request))
        if claimed.pop(deadly[request.text], 0) > 1 and claimed:
            yield f"{request.text!r} ended {request.process} at {clock(request.at)}, which had {[*claimed]} as well"


def _claimed_by(world: World, request: Request) -> Iterator[tuple[str, int]]:
    """Yield what a worker had claimed when it made a request, and how many claims in a row were not settled."""
    for pk, changes in world.table.changes.items():
        last = next((each for each in reversed(changes) if each.at <= request.at), None)
        if last and last.by == request.process and last.status == Status.CLAIMED:
            yield pk, last.unsettled


def _gate(world: World) -> Iterator[str]:
    """No request starts while the gate is known to be closed, and a closed gate uses up no receives."""
    for each in (each for times in world.table.closed.values() for each in times):
        for request in world.stocktwits.requests:
            known = each.since + UNDER_WAY_SECONDS < request.at < each.until
            if known and not (request.probe and each.cause != "operator") and not repeats(world, request):
                yield (
                    f"{request.process} asked StockTwits at {clock(request.at)}, but the gate was closed from "
                    f"{clock(each.since)} to {clock(each.until)} ({each.cause})"
                )
        for at, who in world.drained:
            # A drain may have read the gate up to a whole run before; it returns what it received then.
            if each.since + DRAIN_SECONDS < at < each.until - DRAIN_SECONDS:
                yield f"{who} received from Leftovers by {clock(at)} although the gate was closed ({each.cause})"


def repeats(world: World, request: Request) -> bool:
    """Return whether it repeats a request whose token was refused, with the newer one that was stored meanwhile."""
    return any(
        (each.process, each.text, each.admitted_at) == (request.process, request.text, request.admitted_at)
        for each in world.stocktwits.requests
        if request.at - REPEATED_SECONDS < each.at < request.at
    )


def _shared_pauses(world: World) -> Iterator[str]:
    """A pause that StockTwits asked one worker for is soon observed by all."""
    if world.forecast.aws_fails:  # then it may not have been written
        return
    texts = {alert.body: alert.text for _, alert in world.published}
    rejected = {texts.get(each.body) for each in world.dead.messages if REFUSED_TWICE in reason(each)}
    for asked in world.stocktwits.requests:
        if asked.text in rejected:  # its second refusal is held against this message alone
            continue
        for request in world.stocktwits.requests:
            if asked.at + SHARED_WITHIN_SECONDS < request.at < asked.keep_away_until:
                yield f"{request.process} asked StockTwits at {clock(request.at)} in the pause of {asked.process}"


def _rate_limits(world: World) -> Iterator[str]:
    """A rate limit is over within the hour, whatever its header looks like."""
    for each in world.table.closed["gate"]:
        if each.cause == "rate_limited" and each.until - each.since > RATE_LIMIT_SECONDS:
            yield f"the gate was closed from {clock(each.since)} to {clock(each.until)} by a rate limit"


def _waits(world: World) -> Iterator[str]:
    """A message that waits for the gate alone comes back soon after it opens, however early."""
    times = sorted((each.since, each.until) for times in world.table.closed.values() for each in times)
    for queue in (world.outbox, world.leftovers):
        for receipt, at, visible_at in queue.hidden:
            if receipt not in world.waiting:
                continue
            opens = at
            for since, until in times:
                opens = until if since <= opens < until else opens
            if visible_at > opens + COMES_BACK_SECONDS:
                yield (
                    f"{receipt} waits for the gate, which opened at {clock(opens)}, but is hidden until "
                    f"{clock(visible_at)}"
                )


def _poisons(world: World) -> Iterator[str]:
    """A text that StockTwits refuses for ever closes the gate twice at most while others can be posted.

    Where AWS fails or workers are killed, that holds for what is known to have been written down.
    """
    requests = world.stocktwits.requests
    # A probe, since what it proves is known to all.
    probes = [(each.at, _known_at(world, each)) for each in requests if each.probe and each.taken]
    for message_id, alert in world.published:
        if not alert.poison:
            continue
        refused = [each for each in requests if each.text == alert.text]
        settled = [each for each in refused if _is_settled(world, message_id, each)]
        for first, second in pairwise(settled):
            between = any(first.answered_at < at and known_at < second.admitted_at for at, known_at in probes)
            if between and refused[-1].admitted_at > second.admitted_at:  # or a newer token was tried at once
                yield (
                    f"{alert.text!r} closed the gate twice, the last time at {clock(second.at)}, and was sent again at "
                    f"{clock(refused[-1].at)}"
                )
                break


def _is_settled(world: World, key: str, request: Request) -> bool:
    """Return whether the answer to a request is in the ledger, unless it must be."""
    if not (world.forecast.aws_fails or world.network.kills):
        return True
    return _status_after(world, key, request) != Status.CLAIMED


def _status_after(world: World, key: str, request: Request) -> str:
    """Return the status of a key that was written first after the answer to a request; "claimed" if none was."""
    later = (each.status for each in world.table.changes[f"post#{key}"] if each.at >= request.answered_at)
    return next(later, Status.CLAIMED)


def _known_at(world: World, probe: Request) -> float:
    """Return when all could know that a probe was taken."""
    if not (world.forecast.aws_fails or world.network.kills):
        return probe.answered_at + SHARED_WITHIN_SECONDS
    return next((at for at, posted_at in world.table.proofs if posted_at >= probe.answered_at), math.inf)


def _pace(world: World) -> Iterator[str]:
    """The gate never admits more posts than the owner's pace allows."""
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


def _dead(world: World) -> dict[tuple[str, str | None], list[Stored]]:
    """Return the dead letters by key and text."""
    texts = {alert.body: alert.text for _, alert in world.published}
    found: defaultdict[tuple[str, str | None], list[Stored]] = defaultdict(list)
    for letter in world.dead.messages:
        found[key_of(letter), texts.get(letter.body)].append(letter)
    return found


def _tried_again(world: World, letter: Stored) -> bool:
    """Return whether it is a copy of one that was tried again: a worker killed before it deletes sends another."""
    return (key_of(letter), reason(letter)) in {(key_of(each), reason(each)) for each in world.retried}


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def clock(moment: float) -> str:
    """Format a moment for the trace."""
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S.%f}"[:-3]
