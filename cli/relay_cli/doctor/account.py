"""Checks of the operator's credentials, of this machine's clock, and of the account's room for functions."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from relay_cli.deployed.stack import client
from relay_cli.doctor.deployment import QUICK
from relay_cli.doctor.finding import broken, ok, warning
from relay_cli.doctor.functions import DRAIN, FETCH, NOTIFY, POST, RECEIVE
from relay_cli.doctor.runner import unknown
from relay_cli.failure import from_aws_error
from relay_cli.text import length, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from boto3 import Session

    from relay_cli.doctor.deployment import Deployment
    from relay_cli.doctor.finding import Verdict

ODD_SECONDS = 60
"""A clock that is further from AWS's than this is worth a warning."""

REFUSED_SECONDS = 300
"""AWS refuses what was signed further than this from its own time:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html."""


_MORE = (
    "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 "
    "--desired-value 1000"
)
"""Raises the account's limit of concurrent executions in a region."""


def identity(session: Session, now: Callable[[], float]) -> dict[str, Verdict]:
    """Ask AWS whose credentials these are, and compare its clock with this machine's.

    Raises:
        Failure: ``AWS_ENDPOINT_URL`` is not a URL.
    """
    answer: Mapping[str, Any] = {}
    try:
        answer = client(session, "sts", **QUICK).get_caller_identity()
        who = one_line(str(answer.get("Arn", "unknown")))
        credentials = ok(f"you are {who}, in {session.region_name or 'no region'}")
    except ClientError as error:
        answer = error.response
        credentials = broken(from_aws_error(error).reason, "")
    except BotoCoreError as error:
        credentials = broken(from_aws_error(error).reason, "")
    return {"credentials": credentials, "clock": _clock(answer, now())}


def _clock(answer: Mapping[str, Any], now: float) -> Verdict:
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        apart = now - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return unknown("AWS did not answer with its time")
    words = f"this machine's clock is {length(abs(apart))} {'ahead of' if apart > 0 else 'behind'} AWS's"
    if abs(apart) > REFUSED_SECONDS:
        return broken(f"{words}, and AWS refuses what is signed so far from its own time", "set the clock (NTP)")
    if abs(apart) > ODD_SECONDS:
        return warning(words, "set the clock (NTP): from five minutes on, AWS refuses every call")
    return ok(words)


def concurrency(deployment: Deployment) -> Verdict:
    """Check that the account lets so many functions run at a time as the relay may use."""
    limits = deployment.stack.client("lambda").get_account_settings()["AccountLimit"]
    left, limit = limits["UnreservedConcurrentExecutions"], limits["ConcurrentExecutions"]
    functions = (POST, DRAIN) * deployment.posts + (FETCH,) * deployment.fetches
    functions += (RECEIVE,) * deployment.receives + (NOTIFY,) * deployment.notifies
    used = sum(each.concurrency for each in functions)
    words = f"{left} of the account's {limit} concurrent executions are not reserved; the relay may use {used}"
    if left < used:
        return warning(
            f"{words}: with more, its functions are throttled, and messages wait longer",
            f"ask for more: {deployment.aws(_MORE)}",
        )
    return ok(words)
