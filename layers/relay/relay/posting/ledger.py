"""The ledger: what became of every post, so that none is published twice.

One DynamoDB item for each idempotency key, ``pk = "post#" + key``::

    status             claimed, posted, rejected, dry_run, released or unknown (see `outcome.Status`)
    body_sha256        the text's fingerprint: a key belongs to one alert, unless that one was rejected for certain
    alert_sha256       the fingerprint of text, sentiment, reply and chart; absent in entries of version 0.1
    claim_id           the mark of the attempt that has, or last had, the claim
    message_id         the SQS message that was claimed
    lease_until        nobody else may claim it before (seconds since the epoch); absent once it is posted
    first_claimed_at   when the first attempt began that is not known to have posted nothing
    before             the status that this claim found
    attempts           how many claims there were
    unsettled          how many of them, in a row, were never settled: this one, and those that were cut off
    untried            how many of them were released without an attempt: a rule or a pause came first
    late               how many of them found a chart or a parent not there yet
    duplicates         how many of them StockTwits refused as a duplicate, and were left for later by WhenDuplicate
    refused_at         when StockTwits last refused this message so that everyone was paused
    stocktwits_id, url, reason, http_status, settled_at
    expires_at         when DynamoDB forgets it (TTL)

One for each post, ``pk = "id#" + its StockTwits id``, written before its key is settled, so that no other key is::

    key                the idempotency key to which the post belongs
    certain            whether StockTwits' answer named it, or it has the alert's very text
    expires_at         when DynamoDB forgets it (TTL)
"""

from __future__ import annotations

import hashlib
import math
import secrets
from typing import TYPE_CHECKING, Any

from relay.aws_errors import AWS_ERRORS, error_code
from relay.errors import Halt, Pause, Reject, RelayError, Retry
from relay.posting.alert import fingerprint
from relay.posting.outcome import Claim, IdTaken, Published, Settlement, Status
from relay.posting.reconciliation import Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from botocore.exceptions import BotoCoreError, ClientError
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

    from relay.posting.alert import Alert

LEASE_SECONDS = 90
"""How long a claim keeps others away: longer than any function runs (60 s), so that a lease that ran out means that
its holder is gone. A test compares it with the template."""

RETENTION_SECONDS = 45 * 24 * 3600
"""How long an entry is kept: the queues keep a message 14 days at most, in Dead letters up to 14 more."""

LEDGER_RECHECK_SECONDS = 300
"""How long to wait for an operator when the table cannot be used at all."""

MOST_KEYS = 100
"""The most items of one BatchGetItem:
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html."""

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


def read_items(
    dynamodb: DynamoDBClient, table: str, keys: Sequence[str], now: float
) -> list[dict[str, AttributeValueTypeDef]]:
    """Read up to `MOST_KEYS` items as they are now.

    Raises:
        Retry: DynamoDB did not answer.
        Halt: The table cannot be used until an operator fixes it.
    """
    try:
        answer = dynamodb.batch_get_item(
            RequestItems={table: {"Keys": [{"pk": {"S": each}} for each in keys], "ConsistentRead": True}}
        )
    except AWS_ERRORS as error:
        raise as_relay_error(error, table, now) from error
    if answer.get("UnprocessedKeys"):
        raise Retry(f"the ledger table {table} did not answer in full")
    return answer["Responses"][table]


class Ledger:
    """Claims keys and settles them, in one conditional write each, and one more for the id of a post."""

    def __init__(self, dynamodb: DynamoDBClient, table: str, now: Callable[[], float]) -> None:
        """Use `table` through a low-level client; `now` gives seconds since the epoch."""
        self._dynamodb = dynamodb
        self._table = table
        self._now = now

    def claim(self, key: str, alert: Alert, message_id: str, sent_at: float) -> Claim:
        """Take a key for one attempt.

        Args:
            key: The idempotency key.
            alert: What to post.
            message_id: The SQS message's id: the same message does not reopen a rejection, another one does.
            sent_at: When the message was sent, in seconds since the epoch. A rejection whose alert may be posted is
                reopened only by a message that was sent after it.

        Returns:
            The claim; its `before` is set when there is nothing left to do, its `duplicate_until` when there is nothing
            to do yet.

        Raises:
            Reject: The key was used for another alert.
            Retry: Another worker holds it, or DynamoDB did not answer.
            Halt: The table cannot be used until an operator fixes it.
        """
        now, claim_id = self._now(), secrets.token_hex(8)
        body_sha256, alert_sha256 = hashlib.sha256(alert.body.encode()).hexdigest(), fingerprint(alert)
        try:
            answer = self._dynamodb.update_item(
                TableName=self._table,
                Key={"pk": {"S": f"post#{key}"}},
                UpdateExpression=(
                    "SET #before = if_not_exists(#status, :released), #status = :claimed, body_sha256 = :body,"
                    " alert_sha256 = :alert, claim_id = :claim, message_id = :message, lease_until = :lease,"
                    " expires_at = :expires,"
                    " first_claimed_at = if_not_exists(first_claimed_at, :now)"
                    " ADD attempts :one, unsettled :one"
                ),
                ConditionExpression=(
                    "attribute_not_exists(pk) OR (lease_until <= :now"
                    " AND NOT (#status IN (:rejected, :dry_run) AND message_id = :message)"
                    # A copy that waited meanwhile is not an operator's decision that the first one is not posted.
                    " AND NOT (#status = :rejected AND attribute_exists(first_claimed_at) AND settled_at >= :sent)"
                    # A message that cannot be posted must not keep its key: the key goes to another text as well, but
                    # not as long as an attempt may have posted the first one.
                    " AND ((body_sha256 = :body AND (attribute_not_exists(alert_sha256) OR alert_sha256 = :alert))"
                    " OR (#status = :rejected AND attribute_not_exists(first_claimed_at))))"
                ),
                ExpressionAttributeNames={"#status": "status", "#before": "before"},
                ExpressionAttributeValues={
                    ":released": {"S": Status.RELEASED},
                    ":claimed": {"S": Status.CLAIMED},
                    ":rejected": {"S": Status.REJECTED},
                    ":dry_run": {"S": Status.DRY_RUN},
                    ":body": {"S": body_sha256},
                    ":alert": {"S": alert_sha256},
                    ":claim": {"S": claim_id},
                    ":message": {"S": message_id},
                    ":sent": number(sent_at),
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
            _check_fingerprints(key, body_sha256, alert_sha256, item)
            return _not_claimed(key, claim_id, message_id, sent_at, item)
        except AWS_ERRORS as error:
            raise as_relay_error(error, self._table, now) from error
        return _claim(key, claim_id, answer["Attributes"], now)

    def settle(self, claim: Claim, settlement: Settlement) -> None:
        """Write down how an attempt ended.

        That a post exists is written whoever holds the claim by now, and stays written; everything else only by the
        claim's holder.

        Raises:
            IdTaken: The post belongs to another key; nothing is settled.
            ClientError, BotoCoreError: The entry stays claimed, which reads as "perhaps posted" when its lease is over;
                or, if StockTwits' answer named the post, it is settled, and nobody owns the post.
        """
        posted, failure = settlement.published, None
        if posted:
            try:
                self._own(claim.key, posted.id, certain=settlement.certain)
            except AWS_ERRORS as error:
                if not settlement.answered:
                    raise  # it may be another key's
                failure = error  # that it is posted is worth more than whose the id is
        fields: dict[str, Any] = {
            "status": {"S": settlement.status},
            "settled_at": number(self._now()),
            # What is not given is removed: an earlier attempt's is not this one's.
            "reason": {"S": settlement.reason} if settlement.reason else None,
            "http_status": number(settlement.http_status) if settlement.http_status else None,
            "unsettled": number(settlement.cut_off) if settlement.cut_off else None,
            "untried": number(settlement.untried) if settlement.untried else None,
            "late": number(settlement.late) if settlement.late else None,
            "duplicates": number(settlement.duplicates) if settlement.duplicates else None,
            "refused_at": number(settlement.refused_at) if settlement.refused_at else None,
        }
        if posted:
            fields |= {"stocktwits_id": {"N": str(posted.id)}, "url": {"S": posted.url}, "lease_until": None}
            self._update(claim.key, fields, "attribute_exists(pk)", {})
        else:
            fields |= {"lease_until": number(settlement.lease_until)}
            if settlement.status is not Status.UNKNOWN and not settlement.perhaps_posted:
                fields |= {"first_claimed_at": None}
            values: dict[str, Any] = {":claim": {"S": claim.id}, ":posted": {"S": Status.POSTED}}
            self._update(claim.key, fields, "claim_id = :claim AND #status <> :posted", values)
        if failure:
            raise failure

    def known(self, key: str) -> bool:
        """Return whether there is an entry for a key.

        Raises:
            Retry: DynamoDB did not answer.
            Halt: The table cannot be used until an operator fixes it.
        """
        return bool(self._read([f"post#{key}"]))

    def perhaps_posted(self, key: str) -> bool:
        """Return whether an attempt under a key may have posted its alert.

        Raises:
            Retry: DynamoDB did not answer.
            Halt: The table cannot be used until an operator fixes it.
        """
        return any("first_claimed_at" in item for item in self._read([f"post#{key}"]))

    def owners(self, ids: Sequence[int]) -> dict[int, Owner]:
        """Return to whom the ids of posts belong, as far as the ledger knows.

        Raises:
            Retry: DynamoDB did not answer.
            Halt: The table cannot be used until an operator fixes it.
        """
        found: dict[int, Owner] = {}
        for start in range(0, len(ids), MOST_KEYS):
            for item in self._read([f"id#{each}" for each in ids[start : start + MOST_KEYS]]):
                owner = Owner(item["key"]["S"], certain=item["certain"]["BOOL"])
                found[int(item["pk"]["S"].removeprefix("id#"))] = owner
        return found

    def _update(
        self,
        key: str,
        fields: dict[str, Any],
        condition: str,
        values: dict[str, Any],
    ) -> None:
        """Set the fields of a key's entry that have a value, and remove the others."""
        sets = ", ".join(f"#{name} = :{name}" for name, value in fields.items() if value)
        removes = ", ".join(f"#{name}" for name, value in fields.items() if not value)
        self._dynamodb.update_item(
            TableName=self._table,
            Key={"pk": {"S": f"post#{key}"}},
            UpdateExpression=f"SET {sets} REMOVE {removes}" if removes else f"SET {sets}",
            ConditionExpression=condition,
            ExpressionAttributeNames={f"#{name}": name for name in fields},
            ExpressionAttributeValues={f":{name}": value for name, value in fields.items() if value} | values,
        )

    def _own(self, key: str, post_id: int, *, certain: bool) -> None:
        """Write down whose a post is; raises IdTaken if it is another key's."""
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={
                    "pk": {"S": f"id#{post_id}"},
                    "key": {"S": key},
                    "certain": {"BOOL": certain},
                    "expires_at": number(math.ceil(self._now() + RETENTION_SECONDS)),
                },
                ConditionExpression="attribute_not_exists(pk) OR (#key = :key AND certain = :false)",
                ExpressionAttributeNames={"#key": "key"},
                ExpressionAttributeValues={":key": {"S": key}, ":false": {"BOOL": False}},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            found: dict[str, Any] = {**error.response}
            if _text(found["Item"], "key") != key:  # or it was written before, and what was certain stays so
                raise IdTaken(post_id) from None

    def _read(self, keys: Sequence[str]) -> list[dict[str, AttributeValueTypeDef]]:
        return read_items(self._dynamodb, self._table, keys, self._now())


def _check_fingerprints(key: str, body_sha256: str, alert_sha256: str, item: dict[str, Any]) -> None:
    """Refuse another alert under a key that was used."""
    if _text(item, "body_sha256") != body_sha256:
        raise Reject(f"its key {key!r} was already used for another text: give every alert a key of its own")
    if _text(item, "alert_sha256") not in {"", alert_sha256}:
        raise Reject(
            f"its key {key!r} was already used for this text with another sentiment, reply or chart: give every alert "
            "a key of its own"
        )


def _not_claimed(key: str, claim_id: str, message_id: str, sent_at: float, item: dict[str, Any]) -> Claim:
    """Explain a refused claim by the item that refused it."""
    status = Status(_text(item, "status"))
    if status is Status.POSTED:
        published = Published(int(item["stocktwits_id"]["N"]), _text(item, "url"))
        return Claim(key, claim_id, before=status, published=published)
    perhaps_posted = status is Status.REJECTED and "first_claimed_at" in item
    of_a_copy = perhaps_posted and sent_at <= _number(item, "settled_at", 0)
    if status in {Status.REJECTED, Status.DRY_RUN} and (_text(item, "message_id") == message_id or of_a_copy):
        return Claim(key, claim_id, status, reason=_text(item, "reason"), status=_status(item))
    if status is Status.RELEASED and "duplicates" in item:
        return Claim(key, claim_id, duplicate_until=_number(item, "lease_until", 0))
    raise Retry("another worker is delivering this key, or its next attempt is scheduled for later")


def _claim(key: str, claim_id: str, item: dict[str, Any], now: float) -> Claim:
    """Describe a claim that was taken; `now` as it was written, which stands there unless an earlier one was kept."""
    first_claimed_at = float(item["first_claimed_at"]["N"])
    before = _text(item, "before")
    left_open = before in {Status.CLAIMED, Status.UNKNOWN}
    untried = int(_number(item, "untried", 0))
    return Claim(
        key,
        claim_id,
        perhaps_posted=left_open or first_claimed_at < float(number(now)["N"]),
        # An attempt that was cut off had ended when this claim was possible; nobody knows when before.
        ended_at=_number(item, "settled_at", now) if before == Status.UNKNOWN else now,
        first_claimed_at=first_claimed_at,
        # One that is older than the first attempt belongs to a message that was rejected under this key.
        status=_status(item) if left_open and _number(item, "settled_at", 0) >= first_claimed_at else None,
        cut_off=int(item["unsettled"]["N"]) - 1,
        late=int(_number(item, "late", 0)),
        duplicates=int(_number(item, "duplicates", 0)),
        untried=untried,
        first=int(item["attempts"]["N"]) - untried == 1,
        refused_at=_number(item, "refused_at", 0),
    )


def _status(item: dict[str, Any]) -> int | None:
    return int(_number(item, "http_status", 0)) or None


def _number(item: dict[str, Any], name: str, otherwise: float) -> float:
    return float(item.get(name, {"N": otherwise})["N"])


def _text(item: dict[str, Any], name: str) -> str:
    return str(item.get(name, {}).get("S", ""))


def number(value: float) -> dict[str, str]:
    """Write a number of seconds for DynamoDB, to the millisecond."""
    return {"N": f"{value:.3f}".rstrip("0").rstrip(".")}
