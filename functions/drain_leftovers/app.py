"""Leftovers' handler: every minute, deliver as much of what was left over as the gate allows."""

import time
from contextlib import closing
from typing import Any

from relay.posting.backoff import HIGH_SECONDS, leftovers_back_off, visibility_seconds
from relay.posting.batch import RESERVE_SECONDS
from relay.posting.bootstrap import container, telemetry
from relay.queues import JITTER, MAX_BATCH


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
    log = telemetry("drain_leftovers")
    with log.invocation(context) as seconds_left:
        services = container()
        leftovers, gate = services.queue, services.gate
        count = {"done": 0, "left": 0}
        sent_back = False
        with closing(services.stocktwits):
            while seconds_left() > RESERVE_SECONDS:
                admission = gate.look(MAX_BATCH)
                looks_for_high = time.time() - admission.state.high_at < HIGH_SECONDS
                if not admission.granted:
                    if not (sent_back or leftovers.waiting()):
                        break
                    wait = admission.opens_in(time.time())
                    if wait is not None and sent_back:
                        wait += JITTER * wait + 1  # what was sent back for the pace is hidden for so long at most
                    if wait is None or wait >= seconds_left() - RESERVE_SECONDS:
                        log.gate_closed(admission.pause)
                        break
                    time.sleep(wait)
                    continue
                batch = leftovers.receive(MAX_BATCH if looks_for_high else admission.granted)
                if not batch:
                    log.outbox_depth(services.outbox.depth())
                    break
                delivered = services.batches.deliver(batch, seconds_left, log.delivery)
                log.batch(delivered)
                done = [message for message, outcome in delivered if outcome.done]
                left = [(message, outcome) for message, outcome in delivered if not outcome.done]
                now = time.time()
                timeouts = [
                    (each, visibility_seconds(out, leftovers_back_off(each.receive_count), now)) for each, out in left
                ]
                log.failures(leftovers.delete(done) + leftovers.set_visibility(timeouts))
                log.unannounced(services.announce(delivered, seconds_left))
                count["done"] += len(done)
                count["left"] += len(left)
                sent_back = looks_for_high and bool(left)
        return count
