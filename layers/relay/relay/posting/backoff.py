"""How long a message that stays in its queue is invisible, and when it is given up."""

from __future__ import annotations

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
day later SQS would delete it without a trace (same source as `relay.queues.MAX_BATCH`). Dead letters keeps it for
another 14 days."""

OPERATORS_PAUSE_RECHECK_SECONDS = 60
"""How long a message stays invisible while a pause without an end is in force."""

BEHIND_OTHERS_SECONDS = 120
"""How much later than the others a message comes back whose answer closed the gate: two runs of the drain. Then another
one is the probe, and the gate opens unless that one is refused as well."""

BEHIND_OTHERS_FACTOR = 12
"""After a page, which may be about the message's text, it is so many times its back-off: 3 hours in the end. Several
such messages would otherwise take turns at closing the gate."""


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


def visibility_seconds(outcome: Outcome, back_off: float, now: float) -> int:
    """Return the visibility timeout of a message that stays in its queue.

    Never shorter than the gate is known to be closed. A message that was not even tried waits for the gate alone; one
    whose answer closed the gate comes after the others.
    """
    waits = [back_off if outcome.tried else 1.0]
    if outcome.retry_at is not None:
        waits.append(outcome.retry_at - now)
    if outcome.pause:
        until = outcome.pause.until
        waits.append(OPERATORS_PAUSE_RECHECK_SECONDS if until is None else until - now)
        if until is not None and outcome.paused_everyone:
            a_page = outcome.pause.cause in {"blocked", "unexpected_answer"}
            behind = BEHIND_OTHERS_FACTOR * back_off if a_page else BEHIND_OTHERS_SECONDS
            waits.append(until - now + behind)
    return with_jitter(max(waits))
