"""The edge of backups: fetch what is missing of the last days, request a range of days, or fulfil requests."""

from typing import Any

from relay.backup_wiring import fetching, report
from relay.orders import Backfill, Requests, read_event
from relay.queues import from_event, requests_back_off, with_jitter


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401
    """Do what the event asks for.

    Args:
        event: ``{"run": "nightly"}``; a backfill's ``{"first_day": "2009-01-01", "last_day": "2025-12-31"}``, with
            ``file_types`` and ``retry_absent`` if wanted; or records of BackupRequests, whose
            ``FunctionResponseTypes`` include ``ReportBatchItemFailures``.
        context: Lambda's context.

    Returns:
        For records, ``{"batchItemFailures": [{"itemIdentifier": message id}, ...]}``; otherwise how many backups came
        to each end: ``stored``, ``already_there``, ``not_yet``, ``absent``, ``failed``, ``queued`` (as requests, the
        failed ones too), ``bytes``, ``lines``, and why it ``stopped`` early, if it did.

    Raises:
        Reject: The event is none of these; the reason names the field.
    """

    def seconds_left() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    say = report()
    with say.invocation(context), fetching().connected() as backups:
        today = backups.today()
        order = read_event(event, today)
        if isinstance(order, Requests):
            requests = [from_event(record) for record in order.records]
            fulfilled = backups.fulfil(requests, seconds_left, say.backup)
            left = [request for request, outcome in fulfilled if not outcome.done]
            holds = [(each, with_jitter(requests_back_off(each.receive_count))) for each in left]
            say.complaints(fetching().queue.hold(holds))
            return {"batchItemFailures": [{"itemIdentifier": each.id} for each in left]}
        run = (
            backups.backfill(order, seconds_left, say.backup)
            if isinstance(order, Backfill)
            else backups.nightly(seconds_left, say.backup)
        )
        say.run(run, today)
        return run.summary()
