"""Answers in place of the usual ones: errors, pages, and requests to wait."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING

from local.stand_ins.firestream.content import PAGE
from local.stand_ins.firestream.contrary import Contrary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.stand_ins.firestream.faults import PlannedFault

TEXT, XML = {"Content-Type": "text/plain; charset=utf-8"}, {"Content-Type": "application/xml"}
_HTML = {"Content-Type": "text/html; charset=utf-8"}
API_TEXTS = {
    400: "Please verify that the date is correct",
    401: "The username or the password is wrong",
    403: "This date is not in your plan",
    404: "The file was not found",
    429: "Too many requests",
    500: "Something went wrong",
    503: "The service is not available",
}
"""The text of each status of the API; 400 as https://firestream.stocktwits.com/documentation (backups) has it."""
_CODES = {
    400: "InvalidRequest",
    403: "AccessDenied",
    404: "NoSuchKey",
    429: "TooManyRequests",
    500: "InternalError",
    503: "SlowDown",
}
"""S3's code of each status: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html (429: other stores)."""
_S3_MESSAGES = {
    "AccessDenied": "Access Denied",
    "NoSuchKey": "The specified key does not exist.",
    "InternalError": "We encountered an internal error. Please try again.",
    "SlowDown": "Please reduce your request rate.",
}
_WEEK_SECONDS = 7 * 86_400


@dataclass(frozen=True)
class Answer:
    """A status, a body, and headers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def s3_error(status: int, code: str, message: str) -> Answer:
    """Return an error in S3's format."""
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, f'<?xml version="1.0" encoding="UTF-8"?>\n{error}'.encode(), XML)


def replacement(planned: PlannedFault, now: float) -> Answer:
    """Return the answer that a behaviour of the kind `ANSWER` puts in place of the usual one.

    Args:
        planned: The behaviour.
        now: The time, in seconds since the epoch.
    """
    details = planned.details
    status, message = details["status"], details.get("message")
    if planned.fault is Contrary.PAGE:
        return Answer(status, PAGE, _HTML)
    if details["host"] == "link":
        code = details.get("code") or _CODES.get(status, "UnknownError")
        answer = s3_error(status, code, message or _S3_MESSAGES.get(code, "The request was not carried out."))
    else:
        answer = Answer(status, (message or API_TEXTS.get(status, "Something went wrong")).encode(), TEXT)
    if planned.fault is not Contrary.RETRY_AFTER:
        return answer
    seconds = details["seconds"] if details["until"] is None else details["until"] - now
    wait = retry_after(details["form"], seconds, now)
    return answer if wait is None else Answer(status, answer.body, {**answer.headers, "Retry-After": wait})


def retry_after(form: str, seconds: float, now: float) -> str | None:
    """Return a Retry-After in a form, `seconds` from `now`; None to leave it out."""
    return {
        "seconds": str(math.ceil(seconds)),
        "http-date": formatdate(math.ceil(now + seconds), usegmt=True),
        "decimal": f"{seconds:.1f}",
        "days": str(_WEEK_SECONDS),
        "zero": "0",
        "negative": f"-{math.ceil(seconds)}",
        "past": formatdate(now - seconds, usegmt=True),
        "iso-date": datetime.fromtimestamp(now + seconds, UTC).isoformat(),
        "empty": "",
        "nonsense": "soon",
    }.get(form)
