"""The Outbox's handler: deliver what SQS hands over, and report what is not done as batch item failures."""

import time
from contextlib import closing
from typing import Any

from relay.posting.backoff import outbox_visibility_seconds
from relay.posting.bootstrap import container, telemetry
from relay.queues import from_record


def handler(event: dict[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:  # noqa: ANN401
    """Deliver the records of an SQS event.

    Args:
        event: An SQS event, its queue's ``FunctionResponseTypes`` including ``ReportBatchItemFailures``.
        context: Lambda's context.

    Returns:
        ``{"batchItemFailures": [{"itemIdentifier": message id}, ...]}``: SQS keeps these and moves them on in the end.
    """
    log = telemetry("post_messages")
    with log.invocation(context) as seconds_left:
        services = container()
        with closing(services.stocktwits):
            batch = [from_record(record) for record in event["Records"]]
            delivered = services.batches.deliver(batch, seconds_left, log.delivery)
        log.batch(delivered)
        left = [(message, outcome) for message, outcome in delivered if not outcome.done]
        now = time.time()
        timeouts = [(each, outbox_visibility_seconds(out, each.receive_count, now)) for each, out in left]
        log.failures(services.queue.set_visibility(timeouts))
        log.unannounced(services.announce(delivered, seconds_left))
        return {"batchItemFailures": [{"itemIdentifier": message.id} for message, _ in left]}
