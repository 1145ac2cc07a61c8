"""The Outbox's edge: deliver what SQS hands over, and report what is not done as batch item failures."""

import time
from typing import Any

from relay.queues import from_event, hold_seconds, outbox_back_off
from relay.wiring import relay, report


def handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:  # noqa: ANN401
    """Deliver the records of an SQS event.

    Args:
        event: An SQS event, its queue's ``FunctionResponseTypes`` including ``ReportBatchItemFailures``.
        context: Lambda's context.

    Returns:
        ``{"batchItemFailures": [{"itemIdentifier": message id}, ...]}``: SQS keeps these and moves them on in the end.
    """

    def seconds_left() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    say = report("post_messages")
    with say.invocation(context):
        outbox = relay().queue
        with relay().connected() as posting:
            batch = [from_event(record) for record in event["Records"]]
            delivered = posting.deliver(batch, seconds_left, say.delivery)
        say.batch(delivered)
        left = [(message, outcome) for message, outcome in delivered if not outcome.done]
        now = time.time()
        holds = [(each, hold_seconds(outcome, outbox_back_off(each.receive_count), now)) for each, outcome in left]
        say.complaints(outbox.hold(holds))
        say.unannounced(relay().announce(delivered, seconds_left))
        return {"batchItemFailures": [{"itemIdentifier": message.id} for message, _ in left]}
