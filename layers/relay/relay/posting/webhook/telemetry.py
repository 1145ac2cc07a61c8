"""The telemetry of the webhook: a log line for each request, and metrics of their answers."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import MetricUnit

from relay.posting.webhook.message import EMPTY
from relay.telemetry import Telemetry

if TYPE_CHECKING:
    from relay.posting.webhook.receiver import Receipt


class WebhookTelemetry(Telemetry):
    """The log and metrics of the function that receives alerts.

    A source's name is in them only after its secret was right: before, it is a stranger's text, or a misplaced secret.
    """

    def receipt(self, receipt: Receipt) -> None:
        """Log and count what became of a request."""
        # By an empty request, `relay webhook test` tries a secret.
        is_test = receipt.status is HTTPStatus.BAD_REQUEST and receipt.reason == EMPTY
        if receipt.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log = self.logger.error
            self.for_alarm("AlertsNotTaken", MetricUnit.Count, 1)
        elif receipt.status is HTTPStatus.NOT_FOUND:
            log = self.logger.warning
            self.metrics.add_metric("WrongSecrets", MetricUnit.Count, 1)
        elif receipt.status is HTTPStatus.ACCEPTED:
            log = self.logger.info
            self.count("AlertsReceived", MetricUnit.Count, 1, source=receipt.source)
        else:
            log = self.logger.info if is_test else self.logger.warning
            self.count("AlertsRefused", MetricUnit.Count, 1, source=receipt.source)
            if not is_test:
                self.for_alarm("AlertsRefused", MetricUnit.Count, 1)
        log(
            "alert",
            extra={
                "status": receipt.status,
                "source": receipt.source,
                "key": receipt.key,
                "message_id": receipt.message_id,
                "reason": receipt.reason,
                "text": receipt.text,
                "address": receipt.address,
            },
        )
