"""How long a message that stays in its queue is invisible, and when it is given up."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from relay.queues import with_jitter

if TYPE_CHECKING:
    from relay.posting.outcome import Outcome

OUTBOX_RECEIVES = 3
"""After so many receives SQS moves a message on to Leftovers; a test compares it with the template."""

LEFTOVERS_RECEIVES = 200
"""After so many receives a message is given up and moved to Dead letters; a test compares it with the template."""

GIVE_UP_SECONDS = 13 * 24 * 3600
"""What was left over and has waited as long is given up and moved to Dead letters, however seldom it was received: a
day later SQS would delete it without a trace (same source as `relay.queues.MAX_BATCH`). Dead letters keeps what the
relay sends there for another 14 days."""

HIGH_SECONDS = 24 * 3600
"""How long the drain looks for messages of high priority after one was left over: it receives as many as SQS hands over
at once, and not only as many as the gate lets through."""

HIGH_AFTER_RECEIVES = 100
"""After so many receives a message counts as one of high priority, whatever it says: others went before it, and twice
as many receives would make it a dead letter."""

GATE_RECHECK_SECONDS = 45
"""How long a message that waits for the gate stays invisible: the gate may open early, and with the drain's minute
nothing waits for more than two. While it is closed that costs three receives at most: then the message is in Leftovers,
from which nothing is received before the gate opens."""

BEHIND_OTHERS_SECONDS = 120
"""How much later than the others a message comes back whose answer closed the gate: two runs of the drain. Then another
one is the probe, and the gate opens unless that one is refused as well. Its back-off is added, or several such messages
would take turns at closing the gate, and none of those that wait would ever be the probe."""

BEHIND_OTHERS_FACTOR = 12
"""After a page, which pauses everyone for longer, its back-off counts so many times: 3 hours in the end."""


def outbox_back_off(receive_count: int) -> float:
    """Return the seconds to wait after a failed attempt from the Outbox: 10, 40, 160."""
    return float(10 * 4 ** min(receive_count - 1, OUTBOX_RECEIVES))


def leftovers_back_off(receive_count: int) -> float:
    """Return the seconds to wait after a failed attempt from Leftovers: 60, 120, ... 900.

    Args:
        receive_count: As SQS counts; it goes on counting when a message is moved from the Outbox.
    """
    doublings = max(0, receive_count - OUTBOX_RECEIVES - 1)
    return float(min(60 * 2 ** min(doublings, 10), 900))


def back_off_seconds(receive_count: int) -> float:
    """Return the seconds to wait after a failed attempt, from the queue in which a message with this count is."""
    return outbox_back_off(receive_count) if receive_count <= OUTBOX_RECEIVES else leftovers_back_off(receive_count)


def visibility_seconds(outcome: Outcome, back_off: float, now: float) -> int:
    """Return the visibility timeout of a message that stays in its queue: its wait, extended a little."""
    return with_jitter(wait_seconds(outcome, back_off, now))


def wait_seconds(outcome: Outcome, back_off: float, now: float) -> float:
    """Return how long a message that stays in its queue waits, in seconds.

    A message that waits for the gate alone comes back soon, since the gate may open early; one whose answer closed the
    gate comes after the others; every other after its back-off.
    """
    pause = outcome.pause
    for_the_gate = pause is not None and not outcome.paused_everyone
    # A rule itself says how long it keeps a message back. Neither a rate limit nor a pause without an answer of
    # StockTwits says anything about the message.
    alone = (
        not outcome.tried
        or bool(outcome.holds)
        or (for_the_gate and outcome.status in {None, HTTPStatus.TOO_MANY_REQUESTS})
    )
    waits = [1.0 if alone else back_off]
    if outcome.retry_at is not None:
        waits.append(outcome.retry_at - now)
    if pause and outcome.paused_everyone:
        a_page = pause.cause in {"blocked", "unexpected_answer"}
        behind = BEHIND_OTHERS_SECONDS + (BEHIND_OTHERS_FACTOR if a_page else 1) * back_off
        waits.append((pause.until or now) - now + behind)
    elif pause:
        waits.append(GATE_RECHECK_SECONDS if pause.until is None else min(pause.until - now, GATE_RECHECK_SECONDS))
    return max(waits)


def outbox_visibility_seconds(outcome: Outcome, receive_count: int, now: float) -> int:
    """Return the visibility timeout of a message that stays in the Outbox, or is to move on to Leftovers.

    What is held comes back at once until it is in Leftovers, and waits there: the Outbox has an alarm for not being
    emptied while the gate is open.
    """
    if outcome.holds:
        return 1
    return visibility_seconds(outcome, outbox_back_off(receive_count), now)
