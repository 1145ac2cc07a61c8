"""The telemetry of posting: a log line for each delivery, metrics of the outcomes, and why the gate is closed."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.metrics import MetricUnit

from relay.posting.alert import MAX_KEY_CHARACTERS
from relay.posting.backoff import back_off_seconds, wait_seconds
from relay.posting.outcome import Outcome, Result
from relay.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.errors import Pause
    from relay.queue_message import QueueMessage

_METRIC = {
    Result.POSTED: "Posted",
    Result.ALREADY_POSTED: "AlreadyPosted",
    Result.REJECTED: "Rejected",
    Result.EXPIRED: "Expired",
    Result.DEFERRED: "Deferred",
}

_FOR_AN_OPERATOR = {"token_refused", "token_unreadable", "blocked", "stream", "unexpected_answer", "ledger"}
"""The causes that do not end by themselves."""

LONG_SECONDS = 3600
"""A rate limit that lasts longer than this is told to an operator: StockTwits' limits are hourly."""

EXPIRING_SECONDS = 12 * 24 * 3600
"""A message this old will soon be deleted: SQS keeps one for 14 days at most, Outbox and Leftovers together
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html)."""

_LONGEST = {"rate_limited": LONG_SECONDS, "hours": EXPIRING_SECONDS}
"""How long, in seconds, a pause with such a cause may last before it is told to an operator. While the posting hours
are over nothing is received from Leftovers, so that nothing there can be given up before SQS deletes it."""


class PostingTelemetry(Telemetry):
    """One function's log and metrics."""

    def batch(self, delivered: Sequence[tuple[QueueMessage, Outcome]]) -> None:
        """Count a batch's outcomes, and report what closed the gate."""
        counts = Counter(outcome.result for _, outcome in delivered)
        for result, count in counts.items():
            if result in _METRIC:
                self.metrics.add_metric(_METRIC[result], MetricUnit.Count, count)
        # What has its own not_before waits for itself until then.
        since = ((outcome, max(message.sent_at, outcome.not_before)) for message, outcome in delivered)
        waited = [(outcome, max(0.0, time.time() - moment)) for outcome, moment in since]
        for outcome, seconds in waited:
            if outcome.result is Result.POSTED:
                self.metrics.add_metric("SecondsFromQueuedToPosted", MetricUnit.Seconds, seconds)
        if altered := sum(bool(outcome.published and outcome.published.text_altered) for _, outcome in delivered):
            self.metrics.add_metric("TextAltered", MetricUnit.Count, altered)
        if counts[Result.POSTED]:
            self.for_alarm("PostedInAll", MetricUnit.Count, counts[Result.POSTED])
        if still := [seconds for outcome, seconds in waited if _waits_although_open(outcome)]:
            self.for_alarm("OldestSecondsWhileOpen", MetricUnit.Seconds, max(still))
        if oldest := max((seconds for _, seconds in waited if seconds > EXPIRING_SECONDS), default=None):
            reason = (
                "SQS keeps a message for 14 days: raise MaxPostsPerHour or MaxPostsPerDay, fix what prevents posting,"
                " or change the rule that the holds in its log line name"
            )
            self.logger.warning("messages expire", extra={"reason": reason, "oldest_seconds": round(oldest)})
            self.for_alarm("NeedsAPerson", MetricUnit.Count, 1)
        pauses = {outcome.pause.cause: outcome.pause for _, outcome in delivered if outcome.pause}
        for pause in pauses.values():
            self.gate_closed(pause)

    def gate_closed(self, pause: Pause | None) -> None:
        """Report why nothing may be posted; that an invocation ends is not such a reason."""
        if pause is None or pause.cause == "time":
            return
        self.logger.warning("gate shut", extra={"cause": pause.cause, "reason": pause.reason, "until": pause.until})
        self.count("GateShut", MetricUnit.Count, 1, reason=pause.cause)
        lasts = (pause.until or 0) - time.time()
        if pause.cause in _FOR_AN_OPERATOR or lasts > _LONGEST.get(pause.cause, math.inf):
            self.for_alarm("NeedsAPerson", MetricUnit.Count, 1)

    def outbox_depth(self, messages: int) -> None:
        """Count the messages in the Outbox while the gate is open: a minute later they should be gone."""
        if messages:
            self.for_alarm("OutboxHoldsWhileOpen", MetricUnit.Count, messages)

    def unannounced(self, lines: Sequence[str]) -> None:
        """Report result events that did not reach their bus."""
        self.failures(lines)
        if lines:
            self.metrics.add_metric("ResultEventsLost", MetricUnit.Count, len(lines))

    def delivery(self, message: QueueMessage, outcome: Outcome) -> None:
        """Log a delivery as it ends; safe to call from several threads, unlike the metrics."""
        expected = (outcome.done and outcome.result is not Result.REJECTED) or outcome.holds
        log = self.logger.info if expected else self.logger.warning
        log(
            "delivery",
            extra={
                "key": outcome.key,
                "outcome": str(outcome.result),
                "reason": outcome.reason,
                "text": outcome.text,
                "sentiment": outcome.sentiment,
                "stocktwits_id": outcome.published.id if outcome.published else None,
                "url": outcome.published.url if outcome.published else None,
                "status_code": outcome.status,
                "receive_count": message.receive_count,
                "message_id": message.id,
                "queued_at": message.queued_at,
                **({"replaces_key": message.replaces_key[:MAX_KEY_CHARACTERS]} if message.replaces_key else {}),
                **_waiting(message, outcome),
            },
        )


def _waiting(message: QueueMessage, outcome: Outcome) -> dict[str, Any]:
    """Return what a message waits for that is not the gate, and when it expires, for whoever asks why it waits."""
    if outcome.done:
        return {}
    fields: dict[str, Any] = {} if outcome.expires_at is None else {"expires_at": outcome.expires_at}
    if outcome.holds:
        holds = [{"cause": each.cause, "reason": each.reason, "until": each.until} for each in outcome.holds]
        return fields | {"holds": holds}
    if not outcome.tried:
        return fields
    now = time.time()
    wait = wait_seconds(outcome, back_off_seconds(message.receive_count), now)
    return fields | {"retry_at": round(now + wait, 3)}


def _waits_although_open(outcome: Outcome) -> bool:
    """Return whether a message waits for another reason than the gate or a rule: it failed, or time ran short."""
    by_rule = bool(outcome.holds) or outcome.late_by_rule  # it counts when it fails again
    return not outcome.done and not by_rule and (outcome.pause is None or outcome.pause.cause == "time")
