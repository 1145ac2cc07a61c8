"""The webhook's handler: take an alert from whoever knows a source's secret, and put it into the Outbox."""

from typing import Any

from relay.posting.webhook.bootstrap import container, telemetry
from relay.posting.webhook.receiver import failure, read_request


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401
    """Answer a request to the HTTP API.

    Whatever happens is an answer and a log line without the event, whose path may contain a secret: Lambda would log an
    error that left this function with everything in its text.

    Args:
        event: API Gateway's, in the format 2.0.
        context: Lambda's context.

    Returns:
        ``{"statusCode", "headers", "body"}``: 202 with the alert's ids, 400 or 413 with the reason in words, 404 if the
        source or its secret is not known, 503 if the alert may be sent again.
    """
    log = telemetry()
    with log.invocation(context):
        try:
            receipt = container().receive(read_request(event))
        except Exception as error:  # noqa: BLE001
            receipt = failure(error)
        log.receipt(receipt)
        return receipt.response
