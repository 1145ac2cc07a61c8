"""What unit tests are made of: messages, alerts, claims, pauses, and a clock that stands still until it is set."""

import sys
from types import FrameType
from typing import Any

from relay.errors import Pause
from relay.posting.alert import Alert
from relay.posting.outcome import Claim, Published
from relay.queue_message import QueueMessage

NOW = 1_800_000_000.0
"""2027-01-15 08:00:00 UTC."""

LATER = NOW + 365 * 24 * 3600
"""When a message was sent that came after everything else."""

RULES_OFF = {
    "DEFAULT_EXPIRY_MINUTES": "0",
    "EXPIRED_TO": "dead-letters",
    "POSTING_HOURS": "",
    "POSTING_HOLIDAYS": "none",
    "ALIKE_MINUTES": "0",
    "WHEN_DUPLICATE": "reject",
    "SYMBOL_COOLDOWN_MINUTES": "0",
}
"""What the template sets for the owner's rules."""

ENVIRONMENT = {
    "SOURCE_QUEUE_URL": "https://sqs/outbox",
    "OUTBOX_QUEUE_URL": "https://sqs/outbox",
    "DEAD_LETTER_QUEUE_URL": "https://sqs/dead",
    "LEDGER_TABLE_NAME": "ledger",
    "STOCKTWITS_API_URL": "https://api.stocktwits.com/api/2",
    "STOCKTWITS_AUTH_STYLE": "bearer",
    "STOCKTWITS_TOKEN_PARAMETER": "/relay/token",
    "MAX_POSTS_PER_HOUR": "60",
    "POST_BURST": "10",
    "MAX_POSTS_PER_DAY": "0",
    "POST_CONCURRENCY": "4",
    **RULES_OFF,
    "DRY_RUN": "false",
    "CHART_BUCKET_NAME": "",
    "RESULT_EVENT_BUS_NAME": "",
}
"""What the template sets for the functions that post."""

BACKUP_ENVIRONMENT = {
    "BACKUP_REQUESTS_QUEUE_URL": "https://sqs/requests",
    "BACKUP_FAILURES_QUEUE_URL": "https://sqs/failures",
    "BACKUP_BUCKET_NAME": "archive",
    "FIRESTREAM_URL": "https://firestream.stocktwits.com",
    "FIRESTREAM_CREDENTIALS_PARAMETER": "/relay/firestream",
    "BACKUP_FILE_TYPES": "message,activity",
    "BACKUP_LAG_DAYS": "2",
    "BACKUP_LOOKBACK_DAYS": "7",
}
"""What the template sets for the function that fetches backups."""


WEBHOOK_ENVIRONMENT = {
    "OUTBOX_QUEUE_URL": "https://sqs/outbox",
    "WEBHOOK_SOURCES_PARAMETER": "/stocktwits-relay/webhook-sources",
}
"""What the template sets for the function that receives alerts."""


class Clock:
    """Stands still until it is set."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def a_message(body: str = "$AAPL up", **but: Any) -> QueueMessage:
    usual = {"id": "m-1", "receipt_handle": "r-1", "receive_count": 1, "sent_at": NOW - 5}
    return QueueMessage(body=body, **{**usual, **but})


def messages(*bodies: str, **but: Any) -> list[QueueMessage]:
    return [a_message(body, id=f"m-{i}", receipt_handle=f"r-{i}", **but) for i, body in enumerate(bodies, 1)]


def an_alert(body: str = "$AAPL up", **but: Any) -> Alert:
    return Alert(body=body, **but)


def a_claim(key: str = "m-1", **but: Any) -> Claim:
    return Claim(key, "c-1", **{"first_claimed_at": NOW, **but})


def a_pause(cause: str = "rate_limited", seconds: float | None = 60.0, **but: Any) -> Pause:
    return Pause(cause, f"because of {cause}", None if seconds is None else NOW + seconds, **but)


def published(number: int = 1) -> Published:
    return Published(number, f"https://stocktwits.com/relay_demo/message/{number}")


def api_event(
    source: str,
    secret: str | None = None,
    body: str = "Up $AAPL",
    *,
    is_base64: bool = False,
    address: str = "52.89.214.238",
    **headers: str,
) -> dict[str, Any]:
    """Make an event of API Gateway for the webhook, in the format 2.0; without a secret, it has none in its path."""
    path = f"/alerts/{source}" if secret is None else f"/alerts/{source}/{secret}"
    route = "POST /alerts/{source}" if secret is None else "POST /alerts/{source}/{secret}"
    return {
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "text/plain; charset=utf-8", **headers},
        "requestContext": {
            "apiId": "a1b2c3d4e5",
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": address, "userAgent": "Go"},
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": route,
            "stage": "$default",
        },
        "pathParameters": {"source": source} | ({} if secret is None else {"secret": secret}),
        "body": body,
        "isBase64Encoded": is_base64,
    }


def callers() -> list[FrameType]:
    """Return every frame that is running: what an error's traceback may keep, with all that is in it."""
    frames, frame = [], sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        frames.append(frame)
    return frames
