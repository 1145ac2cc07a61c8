"""All checks of a deployed relay, in the order in which they are printed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from relay_cli.doctor import account, alarms, functions, logins, notices, queues, volume, webhook
from relay_cli.doctor.functions import DRAIN, FETCH, NOTIFY, POST, RECEIVE

if TYPE_CHECKING:
    from relay_cli.doctor.deployment import Deployment
    from relay_cli.doctor.finding import Check

_QUEUES = {
    "queue-outbox": "Outbox",
    "queue-leftovers": "Leftovers",
    "queue-dead-letters": "DeadLetter",
    "queue-backup-requests": "BackupRequests",
    "queue-backup-failures": "BackupFailures",
}


def checks(deployment: Deployment) -> dict[str, Check]:
    """Return the checks that apply to a stack, by their names: none of what is switched off."""
    found: dict[str, Check] = {
        "stack": deployment.check_resources,
        "posting": partial(volume.posting, deployment),
        "backups": partial(volume.fetching, deployment),
        "concurrency": partial(account.concurrency, deployment),
    }
    if deployment.posts:
        found |= _posting(deployment)
    found |= _webhook(deployment)
    if deployment.fetches:
        found |= _backups(deployment)
    if deployment.notifies:
        found |= _notices(deployment)
    # Queues and topic stay when their half is switched off.
    for name, queue in _QUEUES.items():
        found[name] = partial(queues.policies, deployment, queue)
    return found | {
        "dead-letters": partial(queues.letters, deployment, "DeadLetter", "dead list"),
        "backup-failures": partial(queues.letters, deployment, "BackupFailures", "backups"),
        "alarms": partial(alarms.alarms, deployment),
        "alarm-topic": partial(alarms.topic, deployment),
    }


def _posting(deployment: Deployment) -> dict[str, Check]:
    outbox, every_minute = "PostMessagesFunctionOutbox", "DrainLeftoversFunctionEveryMinute"
    return {
        "token": partial(logins.token, deployment),
        "stocktwits": partial(logins.stocktwits, deployment),
        "gate": partial(volume.gate_state, deployment),
        "pace": partial(volume.pace, deployment),
        "function-post-messages": partial(functions.state, deployment, POST),
        "function-drain-leftovers": partial(functions.state, deployment, DRAIN),
        "errors-post-messages": partial(functions.errors, deployment, POST),
        "errors-drain-leftovers": partial(functions.errors, deployment, DRAIN),
        "trigger-outbox": partial(functions.trigger, deployment, outbox, POST, "Outbox"),
        "schedule-drain-leftovers": partial(functions.schedule, deployment, every_minute, DRAIN),
    }


def _webhook(deployment: Deployment) -> dict[str, Check]:
    if not deployment.receives:
        return {"webhook": partial(webhook.leftover_sources, deployment)}
    return {
        "webhook": partial(webhook.sources, deployment),
        "webhook-address": partial(webhook.address, deployment),
        "function-receive-alerts": partial(functions.state, deployment, RECEIVE),
        "errors-receive-alerts": partial(functions.errors, deployment, RECEIVE),
    }


def _notices(deployment: Deployment) -> dict[str, Check]:
    return {
        "notices": partial(notices.address, deployment),
        "function-send-notices": partial(functions.state, deployment, NOTIFY),
        "errors-send-notices": partial(functions.errors, deployment, NOTIFY),
    }


def _backups(deployment: Deployment) -> dict[str, Check]:
    requests, nightly = "FetchBackupsFunctionRequests", "FetchBackupsFunctionNightly"
    return {
        "firestream": partial(logins.firestream, deployment),
        "archive": partial(volume.archive, deployment),
        "function-fetch-backups": partial(functions.state, deployment, FETCH),
        "errors-fetch-backups": partial(functions.errors, deployment, FETCH),
        "trigger-backup-requests": partial(functions.trigger, deployment, requests, FETCH, "BackupRequests"),
        "schedule-nightly": partial(functions.schedule, deployment, nightly, FETCH),
    }
