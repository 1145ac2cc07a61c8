"""The handler of backups: fetch what is missing of the last days, request a range of days, or fulfil requests."""

from contextlib import closing
from typing import Any

from relay.backups.bootstrap import container, telemetry
from relay.backups.events import Backfill, Requests, read_event
from relay.backups.runs import retry_seconds
from relay.queues import from_record, with_jitter


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401
    """Do what the event asks for.

    Args:
        event: ``{"run": "nightly"}``; a backfill's ``{"first_day": "2009-01-01", "last_day": "2025-12-31"}``, with
            ``file_types``, ``retry_absent`` and ``again`` if wanted; or records of BackupRequests, whose
            ``FunctionResponseTypes`` include ``ReportBatchItemFailures``.
        context: Lambda's context.

    Returns:
        For records, ``{"batchItemFailures": [{"itemIdentifier": message id}, ...]}``; otherwise how many backups came
        to each end: ``stored``, ``already_there``, ``not_yet``, ``absent``, ``failed``, ``held`` (Firestream asks to
        wait), ``queued`` (as requests, the failed and held ones too), how many stored ones ``replaced`` another
        version, ``bytes``, ``lines``, and why it ``stopped`` early, if it did.

    Raises:
        Reject: The event is none of these; the reason names the field.
    """
    log = telemetry()
    with log.invocation(context) as seconds_left:
        services = container()
        backups = services.backups
        with closing(services.firestream):
            today = backups.today()
            request = read_event(event, today)
            if isinstance(request, Requests):
                messages = [from_record(record) for record in request.records]
                fulfilled = backups.fulfil(messages, seconds_left, log.backup)
                now = backups.now()
                timeouts = [
                    (message, with_jitter(retry_seconds(message, outcome, now)))
                    for message, outcome in fulfilled
                    if not outcome.done
                ]
                log.failures(services.queue.set_visibility(timeouts))
                return {"batchItemFailures": [{"itemIdentifier": message.id} for message, _ in timeouts]}
            run = (
                backups.backfill(request, seconds_left, log.backup)
                if isinstance(request, Backfill)
                else backups.nightly(seconds_left, log.backup)
            )
        log.run(run, today)
        return run.summary()
