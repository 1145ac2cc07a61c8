"""The ledger: what became of every post, so that none is published twice.

One DynamoDB item for each idempotency key, ``pk = "post#" + key``::

    status             claimed, posted, rejected, dry_run, released or unknown (see `outcome.Status`)
    body_sha256        the text's fingerprint: a key belongs to one text, unless that one was rejected for certain
    claim_id           the mark of the attempt that has, or last had, the claim
    message_id         the SQS message that was claimed
    lease_until        nobody else may claim it before (seconds since the epoch); absent once it is posted
    first_claimed_at   when the first attempt began that is not known to have posted nothing
    before             the status that this claim found
    attempts           how many claims there were
    unsettled          how many of them, in a row, were never settled: this one, and those that were cut off
    stocktwits_id, url, reason, http_status, settled_at
    expires_at         when DynamoDB forgets it (TTL)
"""

from __future__ import annotations

import hashlib
import math
import secrets
from typing import TYPE_CHECKING, Any

from relay.aws_errors import AWS_ERRORS, error_code
from relay.errors import Halt, Pause, Reject, RelayError, Retry
from relay.posting.outcome import Claim, Published, Settlement, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.exceptions import BotoCoreError, ClientError
    from mypy_boto3_dynamodb import DynamoDBClient

LEASE_SECONDS = 90
"""How long a claim keeps others away: longer than any function runs (60 s), so that a lease that ran out means that
its holder is gone. A test compares it with the template."""

RETENTION_SECONDS = 45 * 24 * 3600
"""How long an entry is kept: the queues keep a message 14 days at most, in Dead letters 14 more."""

LEDGER_RECHECK_SECONDS = 300
"""How long to wait for an operator when the table cannot be used at all."""

_FOR_AN_OPERATOR = frozenset({"ResourceNotFoundException", "AccessDeniedException", "UnrecognizedClientException"})


def as_relay_error(error: ClientError | BotoCoreError, table: str, now: float) -> RelayError:
    """Turn DynamoDB's error into what to do next; it is raised where nothing was sent."""
    code = error_code(error)
    if code in _FOR_AN_OPERATOR:
        reason = (
            f"the ledger table {table} cannot be used ({code}): check that it exists and that the function's role may "
            "use it"
        )
        return Halt(Pause("ledger", reason, now + LEDGER_RECHECK_SECONDS))
    return Retry(f"the ledger table {table} did not answer ({code})")


class Ledger:
    """Claims keys and settles them, in one conditional update each."""

    def __init__(self, dynamodb: DynamoDBClient, table: str, now: Callable[[], float]) -> None:
        """Use `table` through a low-level client; `now` gives seconds since the epoch."""
        self._dynamodb = dynamodb
        self._table = table
        self._now = now

    def claim(self, key: str, body: str, message_id: str) -> Claim:
        """Take a key for one attempt.

        Args:
            key: The idempotency key.
            body: The text to post.
            message_id: The SQS message's id: the same message does not reopen a rejection, another one does.

        Returns:
            The claim; its `before` is set when there is nothing left to do.

        Raises:
            Reject: The key was used for another text.
            Retry: Another worker holds it, or DynamoDB did not answer.
            Halt: The table cannot be used until an operator fixes it.
        """
        now, claim_id = self._now(), secrets.token_hex(8)
        fingerprint = hashlib.sha256(body.encode()).hexdigest()
        try:
            answer = self._dynamodb.update_item(
                TableName=self._table,
                Key={"pk": {"S": f"post#{key}"}},
                UpdateExpression=(
                    "SET #before = if_not_exists(#status, :released), #status = :claimed, body_sha256 = :fingerprint,"
                    " claim_id = :claim, message_id = :message, lease_until = :lease, expires_at = :expires,"
                    " first_claimed_at = if_not_exists(first_claimed_at, :now)"
                    " ADD attempts :one, unsettled :one"
                ),
                ConditionExpression=(
                    "attribute_not_exists(pk) OR (lease_until <= :now"
                    " AND NOT (#status IN (:rejected, :dry_run) AND message_id = :message)"
                    # A message that cannot be posted must not keep its key: the key goes to another text as well, but
                    # not as long as an attempt may have posted the first one.
                    " AND (body_sha256 = :fingerprint"
                    " OR (#status = :rejected AND attribute_not_exists(first_claimed_at))))"
                ),
                ExpressionAttributeNames={"#status": "status", "#before": "before"},
                ExpressionAttributeValues={
                    ":released": {"S": Status.RELEASED},
                    ":claimed": {"S": Status.CLAIMED},
                    ":rejected": {"S": Status.REJECTED},
                    ":dry_run": {"S": Status.DRY_RUN},
                    ":fingerprint": {"S": fingerprint},
                    ":claim": {"S": claim_id},
                    ":message": {"S": message_id},
                    ":lease": number(now + LEASE_SECONDS),
                    ":expires": number(math.ceil(now + RETENTION_SECONDS)),
                    ":now": number(now),
                    ":one": {"N": "1"},
                },
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            found: dict[str, Any] = {**error.response}
            item = found["Item"]
            if _text(item, "claim_id") == claim_id:  # the answer to this update was lost, and botocore sent it again
                return _claim(key, claim_id, item, now)
            return _not_claimed(key, fingerprint, claim_id, message_id, item)
        except AWS_ERRORS as error:
            raise as_relay_error(error, self._table, now) from error
        return _claim(key, claim_id, answer["Attributes"], now)

    def settle(self, claim: Claim, settlement: Settlement) -> None:
        """Write down how an attempt ended.

        That a post exists is written whoever holds the claim by now, and stays written; everything else only by the
        claim's holder.

        Raises:
            ClientError, BotoCoreError: The entry stays claimed, which reads as "perhaps posted" when its lease is over.
        """
        posted = settlement.published
        sets = ["#status = :status", "settled_at = :now"]
        values: dict[str, Any] = {":status": {"S": settlement.status}, ":now": number(self._now())}
        removes = []
        condition = "attribute_exists(pk)" if posted else "claim_id = :claim AND #status <> :posted"
        if posted:
            sets += ["stocktwits_id = :id", "#url = :url"]
            values |= {":id": {"N": str(posted.id)}, ":url": {"S": posted.url}}
            removes = ["lease_until"]
        else:
            sets += ["lease_until = :lease"]
            values |= {
                ":claim": {"S": claim.id},
                ":lease": number(settlement.lease_until),
                ":posted": {"S": Status.POSTED},
            }
            if settlement.status is not Status.UNKNOWN and not settlement.perhaps_posted:
                removes = ["first_claimed_at"]
        if settlement.cut_off:
            sets += ["unsettled = :unsettled"]
            values |= {":unsettled": {"N": str(settlement.cut_off)}}
        else:
            removes += ["unsettled"]
        if settlement.reason:
            sets += ["reason = :reason"]
            values |= {":reason": {"S": settlement.reason}}
        else:  # an earlier attempt's is none of this one's
            removes += ["reason"]
        if settlement.http_status:
            sets += ["http_status = :http"]
            values |= {":http": {"N": str(settlement.http_status)}}
        else:
            removes += ["http_status"]
        self._dynamodb.update_item(
            TableName=self._table,
            Key={"pk": {"S": f"post#{claim.key}"}},
            UpdateExpression=f"SET {', '.join(sets)}" + (f" REMOVE {', '.join(removes)}" if removes else ""),
            ConditionExpression=condition,
            ExpressionAttributeNames={"#status": "status"} | ({"#url": "url"} if posted else {}),
            ExpressionAttributeValues=values,
        )


def _not_claimed(key: str, fingerprint: str, claim_id: str, message_id: str, item: dict[str, Any]) -> Claim:
    """Explain a refused claim by the item that refused it."""
    if _text(item, "body_sha256") != fingerprint:
        raise Reject(f"its key {key!r} was already used for another text: give every alert a key of its own")
    status = Status(_text(item, "status"))
    if status is Status.POSTED:
        published = Published(int(item["stocktwits_id"]["N"]), _text(item, "url"))
        return Claim(key, claim_id, before=status, published=published)
    if status in {Status.REJECTED, Status.DRY_RUN} and _text(item, "message_id") == message_id:
        http_status = item.get("http_status", {}).get("N")
        return Claim(
            key, claim_id, status, reason=_text(item, "reason"), status=int(http_status) if http_status else None
        )
    raise Retry("another worker is delivering this key, or its next attempt is scheduled for later")


def _claim(key: str, claim_id: str, item: dict[str, Any], now: float) -> Claim:
    """Describe a claim that was taken; `now` as it was written, which stands there unless an earlier one was kept."""
    first_claimed_at = float(item["first_claimed_at"]["N"])
    left_open = _text(item, "before") in {Status.CLAIMED, Status.UNKNOWN}
    return Claim(
        key,
        claim_id,
        perhaps_posted=left_open or first_claimed_at < float(number(now)["N"]),
        first_claimed_at=first_claimed_at,
        cut_off=int(item["unsettled"]["N"]) - 1,
    )


def _text(item: dict[str, Any], name: str) -> str:
    return str(item.get(name, {}).get("S", ""))


def number(value: float) -> dict[str, str]:
    """Write a number of seconds for DynamoDB, to the millisecond."""
    return {"N": f"{value:.3f}".rstrip("0").rstrip(".")}
