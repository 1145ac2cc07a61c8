"""Leftovers' edge: every minute, deliver as much of what was left over as the gate allows."""

import time
from typing import Any

from relay.posting import RESERVE_SECONDS
from relay.queues import MAX_BATCH, hold_seconds, leftovers_back_off
from relay.wiring import relay, report


def handler(_event: dict[str, Any], context: Any) -> dict[str, int]:  # noqa: ANN401
    """Drain Leftovers.

    The gate is asked before anything is received, since every receive counts towards Dead letters. When it opens again
    within this run and messages wait, so does the run.

    Args:
        _event: Whatever the schedule sends; it decides nothing.
        context: Lambda's context.

    Returns:
        ``{"done": messages that left the queue, "left": messages that stay}``.
    """

    def seconds_left() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    say = report("drain_leftovers")
    with say.invocation(context):
        leftovers, gate = relay().queue, relay().gate
        count = {"done": 0, "left": 0}
        with relay().connected() as posting:
            while seconds_left() > RESERVE_SECONDS:
                admission = gate.look(MAX_BATCH)
                if not admission.granted:
                    if not leftovers.waiting():
                        break
                    wait = admission.opens_in(time.time())
                    if wait is None or wait >= seconds_left() - RESERVE_SECONDS:
                        say.gate_shut(admission.pause)
                        break
                    time.sleep(wait)
                    continue
                batch = leftovers.receive(admission.granted)
                if not batch:
                    say.outbox_holds(relay().outbox.held())
                    break
                delivered = posting.deliver(batch, seconds_left, say.delivery)
                say.batch(delivered)
                done = [message for message, outcome in delivered if outcome.done]
                left = [(each, outcome) for each, outcome in delivered if not outcome.done]
                now = time.time()
                holds = [(each, hold_seconds(out, leftovers_back_off(each.receive_count), now)) for each, out in left]
                say.complaints(leftovers.delete(done) + leftovers.hold(holds))
                say.unannounced(relay().announce(delivered, seconds_left))
                count["done"] += len(done)
                count["left"] += len(left)
        return count
