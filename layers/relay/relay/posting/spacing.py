"""Spacing: how long a post waits for an earlier one that is like it, or about the same symbol. Only loaded for a rule.

Each post takes *names* before it is sent: the cashtags in its text, and a fingerprint of its words. A name is an item
of the ledger's table, ``pk = "spacing#" + name``::

    key          the idempotency key that took it last
    at           when that was, in seconds since the epoch
    expires_at   when DynamoDB forgets it (TTL)

Whether a name is free is read from the ledger's entry of that key, so that nothing has to be written to free it: a post
that StockTwits refused, or that was never sent, keeps nobody waiting; one whose outcome is unknown does.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relay.aws_errors import AWS_ERRORS, error_code
from relay.errors import Retry
from relay.posting.alert import LINK, unescaped
from relay.posting.ledger import as_relay_error, number, read_items
from relay.posting.outcome import Hold, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

    from relay.posting.alert import Alert

LATEST_SECONDS = 3600
"""How long after a name is taken its post may be made: StockTwits may take a request that was cut off minutes later. A
name whose post's outcome stays unknown is taken for this time and the rule's."""

LOOK_AGAIN_SECONDS = 900
"""How soon a name is looked at again whose last post may have been made or not: its next attempt will tell, and comes
after the longest back-off at the latest."""

LOOK_AGAIN_SHARE = 0.25
"""How soon such a name is looked at again that has been taken for long, as a share of that time: its message may be
gone, and every look at it is a receive that counts towards Dead letters."""

TAKE_ATTEMPTS = 3
"""How often names are looked at anew because another worker took one meanwhile."""

MAX_NAMES = 99
"""How many names one transaction takes; DynamoDB's limit is 100 items:
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html."""

_CASHTAG = re.compile(r"\$([a-z][a-z0-9]*(?:[._][a-z]{1,3}(?!\w))?)", re.IGNORECASE | re.ASCII)
_WORD = re.compile(r"\w+")
_PREFIX, _ALIKE = "spacing#", "alike#"

_CHANGED = frozenset(
    {"ConditionalCheckFailedException", "TransactionCanceledException", "TransactionConflictException"}
)
"""The errors by which DynamoDB says that another worker writes, or wrote, an item."""


@dataclass(frozen=True, slots=True)
class View:
    """What a look at a message's names has found.

    Attributes:
        holds: Which of them are taken by others, and until when; none if it may be posted.
        must_look: Whether an attempt of its own may have posted it, or its outcome is final: that comes first.
        seen: Each name with its item as it was, None if there is none.
    """

    holds: tuple[Hold, ...]
    must_look: bool
    seen: Mapping[str, Mapping[str, Any] | None]


class Spacing:
    """The rules ``AlikeMinutes`` and ``SymbolCooldownMinutes``, for all functions and invocations together."""

    def __init__(  # noqa: PLR0913  three of them are the rules
        self,
        dynamodb: DynamoDBClient,
        table: str,
        now: Callable[[], float],
        *,
        alike_seconds: float,
        symbol_seconds: float,
        dry_run: bool = False,
    ) -> None:
        """Keep the names in `table`.

        Args:
            dynamodb: A low-level client.
            table: The ledger's table.
            now: The clock, in seconds since the epoch.
            alike_seconds: How long a post waits for one that is like it; 0 if it need not.
            symbol_seconds: How long a cashtag is not posted about again; 0 if it may be.
            dry_run: Whether posts of a dry run count; they keep waiting no post that is sent.
        """
        self._dynamodb = dynamodb
        self._table = table
        self._now = now
        self._alike_seconds = alike_seconds
        self._symbol_seconds = symbol_seconds
        self._made = {Status.POSTED, Status.DRY_RUN} if dry_run else {Status.POSTED}
        self._not_made = {Status.REJECTED, Status.RELEASED, Status.DRY_RUN} - self._made

    def names(self, text: str) -> list[str]:
        """Return the names that a post with this text takes."""
        symbols = [f"${each}" for each in cashtags(text)] if self._symbol_seconds else []
        alike = [_ALIKE + fingerprint(text)] if self._alike_seconds else []
        return [*alike, *symbols][:MAX_NAMES]

    def look(self, key: str, alert: Alert) -> View:
        """Return whether a message may be posted now; nothing is written.

        Raises:
            Retry: DynamoDB did not answer.
            Halt: The table cannot be used until an operator fixes it.
        """
        names = self.names(alert.body)
        found = self._read([f"post#{key}", *(_PREFIX + name for name in names)])
        own = found.get(f"post#{key}")
        seen = {name: found.get(_PREFIX + name) for name in names}
        others = {
            name: item
            for name, item in seen.items()
            if item and item["key"]["S"] != key and self._ends(name, item) > self._now()
        }
        entries = self._read(sorted({f"post#{item['key']['S']}" for item in others.values()}))
        holds = [self._hold(name, item, entries.get(f"post#{item['key']['S']}")) for name, item in others.items()]
        return View(tuple(filter(None, holds)), own is not None and _must_look(own), seen)

    def take(self, key: str, alert: Alert, view: View) -> tuple[Hold, ...]:
        """Take all names of a message that is claimed, right before its request.

        Args:
            key: The message's idempotency key.
            alert: What is to be posted.
            view: What the last look has found.

        Returns:
            Nothing if they are taken; otherwise what keeps the message back, and none is taken.

        Raises:
            Retry: DynamoDB did not answer, or others were faster each time.
            Halt: The table cannot be used until an operator fixes it.
        """
        for _ in range(TAKE_ATTEMPTS):
            if view.holds or not view.seen or self._write(key, view):
                return view.holds
            view = self.look(key, alert)
        raise Retry("other workers post about the same at the same time")

    def _seconds(self, name: str) -> float:
        return self._alike_seconds if name.startswith(_ALIKE) else self._symbol_seconds

    def _ends(self, name: str, item: Mapping[str, Any]) -> float:
        """Return when a name is free whatever became of the post that took it."""
        return float(item["at"]["N"]) + LATEST_SECONDS + self._seconds(name)

    def _hold(self, name: str, item: Mapping[str, Any], entry: Mapping[str, Any] | None) -> Hold | None:
        """Return what a name that another key took keeps waiting for; None if it is free."""
        status = entry["status"]["S"] if entry else None
        cause, what = ("alike", "a post like it") if name.startswith(_ALIKE) else ("symbol", f"a post about {name}")
        ends = self._ends(name, item)
        if entry is None or (status in self._not_made and "first_claimed_at" not in entry):
            return None
        if status in self._made:
            until = min(float(entry["settled_at"]["N"]) + self._seconds(name), ends)  # it was made before it was found
            reason = f"{what} was made less than {self._seconds(name) / 60:g} minutes before"
            return Hold(cause, reason, until) if until > self._now() else None
        if status == Status.REJECTED:
            return Hold(cause, f"{what} may have been made, and nobody will know", ends)
        lease = float(entry["lease_until"]["N"])
        if status == Status.CLAIMED and lease > self._now():
            return Hold(cause, f"{what} is being made", min(ends, lease))
        taken_for = self._now() - float(item["at"]["N"])
        look_again = max(lease, self._now() + max(LOOK_AGAIN_SECONDS, LOOK_AGAIN_SHARE * taken_for))
        return Hold(cause, f"{what} may have been made: its outcome is not known yet", min(ends, look_again))

    def _write(self, key: str, view: View) -> bool:
        """Take the names as they were seen; False when one of them has changed, and then none is taken."""
        now = self._now()
        puts = [self._put(key, name, item, now) for name, item in view.seen.items()]
        writes: Sequence[TransactWriteItemTypeDef] = [{"Put": each} for each in puts]
        try:
            if len(puts) == 1:
                self._dynamodb.put_item(**puts[0])
            else:
                self._dynamodb.transact_write_items(TransactItems=writes)
        except AWS_ERRORS as error:
            # A put whose answer was lost, and which botocore sent again, finds its own key: that is no change.
            if error_code(error) in _CHANGED:
                return False
            raise as_relay_error(error, self._table, now) from error
        return True

    def _put(self, key: str, name: str, item: Mapping[str, Any] | None, now: float) -> Any:  # noqa: ANN401
        condition, values = "attribute_not_exists(pk) OR #key = :key", {":key": {"S": key}}
        if item and item["key"]["S"] != key:
            condition += " OR (#key = :before AND #at = :at)"
            values |= {":before": item["key"], ":at": item["at"]}
        return {
            "TableName": self._table,
            "Item": {
                "pk": {"S": _PREFIX + name},
                "key": {"S": key},
                "at": number(now),
                "expires_at": number(math.ceil(now + LATEST_SECONDS + self._seconds(name))),
            },
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#key": "key"} | ({"#at": "at"} if ":at" in values else {}),
            "ExpressionAttributeValues": values,
        }

    def _read(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        if not keys:
            return {}
        return {each["pk"]["S"]: each for each in read_items(self._dynamodb, self._table, keys, self._now())}


def cashtags(text: str) -> list[str]:
    """Return the symbols of a text's cashtags in capitals, each once; more than StockTwits sees rather than fewer."""
    return list(dict.fromkeys(each.upper() for each in _CASHTAG.findall(_plain(text))))


def fingerprint(text: str) -> str:
    """Return what texts share that differ in nothing but cashtags, numbers, links, capitals, spaces and marks.

    Nor does it matter whether an accent is a character of its own.
    """
    plain = unicodedata.normalize("NFC", _CASHTAG.sub(" ", _plain(text))).casefold()
    plain = "".join(each for each in plain if unicodedata.category(each) != "Cf")  # what nobody sees
    words = [each for each in _WORD.findall(plain) if not any(map(str.isnumeric, each))]
    # What has no words at all is alike if its pictures are.
    content = words or [each for each in plain if not (each.isascii() or each.isspace() or each.isnumeric())]
    return hashlib.sha256(" ".join(content).encode()).hexdigest()[:32]


def _plain(text: str) -> str:
    """Return a text without links, its HTML entities resolved."""
    return LINK.sub(" ", unescaped(text) or text)


def _must_look(own: Mapping[str, Any]) -> bool:
    """Return whether an attempt may have posted a message, or its outcome is final: all but what was released."""
    return bool(own["status"]["S"] != Status.RELEASED)
