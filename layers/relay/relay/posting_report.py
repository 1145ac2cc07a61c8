"""What people see of posting: a log line for each delivery, metrics of the outcomes, and why the gate is shut."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import MetricUnit

from relay.delivery import Outcome, Result
from relay.report import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.errors import Pause
    from relay.received import Message

_METRIC = {
    Result.POSTED: "Posted",
    Result.ALREADY_POSTED: "AlreadyPosted",
    Result.REJECTED: "Rejected",
    Result.DEFERRED: "Deferred",
}


class PostingReport(Report):
    """One function's log and metrics."""

    def batch(self, delivered: Sequence[tuple[Message, Outcome]]) -> None:
        """Count a batch's outcomes, and report what shut the gate."""
        for result, count in Counter(outcome.result for _, outcome in delivered).items():
            if result in _METRIC:
                self.metrics.add_metric(_METRIC[result], MetricUnit.Count, count)
        for message, outcome in delivered:
            if outcome.result is Result.POSTED:
                seconds = max(0.0, time.time() - message.sent_at)
                self.metrics.add_metric("SecondsFromQueuedToPosted", MetricUnit.Seconds, seconds)
        pauses = {outcome.pause.cause: outcome.pause for _, outcome in delivered if outcome.pause}
        for pause in pauses.values():
            self.gate_shut(pause)

    def gate_shut(self, pause: Pause | None) -> None:
        """Report why nothing may be posted; an invocation's end is no such reason."""
        if pause is None or pause.cause == "time":
            return
        self.logger.warning("gate shut", extra={"cause": pause.cause, "reason": pause.reason, "until": pause.until})
        self.count("GateShut", MetricUnit.Count, 1, reason=pause.cause)

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
