"""What people see of the relay's work: one structured log line for each delivery, and metrics (EMF)."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit, single_metric

from relay.delivery import Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relay.errors import Pause
    from relay.message import Message

NAMESPACE = "StockTwitsRelay"
"""The metrics' namespace in CloudWatch."""

_METRIC = {
    Result.POSTED: "Posted",
    Result.ALREADY_POSTED: "AlreadyPosted",
    Result.REJECTED: "Rejected",
    Result.DEFERRED: "Deferred",
}


class Report:
    """One function's log and metrics."""

    def __init__(self, service: str) -> None:
        """Name the function: ``service`` is a dimension of its metrics and a field of its log lines."""
        self.logger = Logger(service=service, location=None)  # every delivery is logged by the same line
        self._metrics = Metrics(namespace=NAMESPACE, service=service)
        self._service = service

    @contextmanager
    def invocation(self, context: Any) -> Iterator[None]:  # noqa: ANN401  Lambda's context has no published type
        """Mark log lines with the request's id, and write the metrics at the end, whatever happened."""
        self.logger.append_keys(request_id=context.aws_request_id)
        try:
            yield
        except Exception:
            self.logger.exception("the invocation failed; its messages come again")
            raise
        finally:
            if self._metrics.provider.metric_set:  # else the library warns, and an idle drain is no news
                self._metrics.flush_metrics()

    def batch(self, delivered: Sequence[tuple[Message, Outcome]]) -> None:
        """Count a batch's outcomes, and report what shut the gate."""
        for result, count in Counter(outcome.result for _, outcome in delivered).items():
            if result in _METRIC:
                self._metrics.add_metric(_METRIC[result], MetricUnit.Count, count)
        for message, outcome in delivered:
            if outcome.result is Result.POSTED:
                seconds = max(0.0, time.time() - message.sent_at)
                self._metrics.add_metric("SecondsFromQueuedToPosted", MetricUnit.Seconds, seconds)
        pauses = {outcome.pause.cause: outcome.pause for _, outcome in delivered if outcome.pause}
        for pause in pauses.values():
            self.gate_shut(pause)

    def gate_shut(self, pause: Pause | None) -> None:
        """Report why nothing may be posted; an invocation's end is no such reason."""
        if pause is None or pause.cause == "time":
            return
        self.logger.warning("gate shut", extra={"cause": pause.cause, "reason": pause.reason, "until": pause.until})
        with single_metric("GateShut", MetricUnit.Count, 1, namespace=NAMESPACE) as metric:
            metric.add_dimension("service", self._service)
            metric.add_dimension("reason", pause.cause)

    def complaints(self, lines: Sequence[str]) -> None:
        """Log what SQS did not do for single messages."""
        for line in lines:
            self.logger.warning(line)

    def delivery(self, message: Message, outcome: Outcome) -> None:
        """Log a delivery as it ends; safe to call from several threads, unlike the metrics."""
        log = self.logger.info if outcome.done and outcome.result is not Result.REJECTED else self.logger.warning
        log(
            "delivery",
            extra={
                "key": outcome.key,
                "outcome": str(outcome.result),
                "reason": outcome.reason,
                "stocktwits_id": outcome.published.id if outcome.published else None,
                "url": outcome.published.url if outcome.published else None,
                "status_code": outcome.status,
                "receive_count": message.receive_count,
                "message_id": message.id,
            },
        )
