"""What the ledger knows of keys, as the command reads it: in a few requests for many of them, and each once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from relay.posting.delivery import has_expired
from relay.posting.ledger import LEASE_SECONDS, MOST_KEYS
from relay.posting.outcome import Status

from relay_cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb.type_defs import BatchGetItemOutputTypeDef

    from relay_cli.deployed.stack import Stack


class State(StrEnum):
    """What is known of a key."""

    WAITING = "waiting"
    POSTED = "posted"
    REJECTED = "rejected"
    EXPIRED = "expired"
    DRY_RUN = "dry_run"
    UNKNOWN = "unknown"


_BY_LEDGER = {
    Status.POSTED: State.POSTED,
    Status.REJECTED: State.REJECTED,
    Status.DRY_RUN: State.DRY_RUN,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """The ledger's entry of a key, as `relay.posting.ledger` writes it."""

    status: str
    message_id: str
    lease_until: float
    settled_at: float
    reason: str
    url: str | None
    expired: bool
    perhaps_posted: bool

    @property
    def final(self) -> State | None:
        """What it says became of the message; None if that is open."""
        return State.EXPIRED if self.expired else _BY_LEDGER.get(cast("Status", self.status))

    @property
    def written_at(self) -> float:
        """When it was claimed or settled last, in seconds since the epoch."""
        return self.lease_until - LEASE_SECONDS if self.status == Status.CLAIMED else self.settled_at


def pk(key: str) -> str:
    """Return the primary key of the entry of an idempotency key."""
    return f"post#{key}"


def answers(stack: Stack, pks: Sequence[str]) -> Iterator[tuple[Sequence[str], BatchGetItemOutputTypeDef]]:
    """Read items by their primary keys; yield those of each request with DynamoDB's answer, which may lack some."""
    table = stack.output("LedgerTableName")
    for start in range(0, len(pks), MOST_KEYS):
        part = pks[start : start + MOST_KEYS]
        keys = [{"pk": {"S": each}} for each in part]
        yield (
            part,
            stack.client("dynamodb").batch_get_item(RequestItems={table: {"Keys": keys, "ConsistentRead": True}}),
        )


def string(item: Mapping[str, Any], name: str) -> str:
    """Return an attribute of an item that is a string; empty if it has none."""
    return str(item.get(name, {}).get("S", ""))


class Items:
    """Items of the ledger's table, each read once.

    It answers as DynamoDB does, so that `Spacing` finds in it what was read for many messages at once.
    """

    def __init__(self, stack: Stack) -> None:
        """Read nothing yet."""
        self._stack = stack
        self.table = stack.output("LedgerTableName")
        self._found: dict[str, dict[str, Any] | None] = {}

    def read(self, keys: Iterable[str]) -> None:
        """Read those of these items that were not read yet."""
        wanted = [each for each in dict.fromkeys(keys) if each not in self._found]
        for part, answer in answers(self._stack, wanted):
            if answer.get("UnprocessedKeys"):
                raise Failure("The ledger is too busy. Try again.")
            self._found |= dict.fromkeys(part)
            self._found |= {each["pk"]["S"]: dict(each) for each in answer["Responses"][self.table]}

    def get(self, key: str) -> dict[str, Any] | None:
        """Return an item that was read, by its primary key."""
        return self._found.get(key)

    def entry(self, key: str) -> Entry | None:
        """Return the entry of an idempotency key that was read."""
        item = self.get(pk(key))
        if item is None:
            return None
        status, reason = string(item, "status"), string(item, "reason")
        return Entry(
            status=status,
            message_id=string(item, "message_id"),
            lease_until=_number(item, "lease_until"),
            settled_at=_number(item, "settled_at"),
            reason=reason,
            url=string(item, "url") or None,
            # To the ledger, what expired is rejected; it ends in the log alone unless an operator has to look.
            expired=status == Status.REJECTED
            and self._stack.parameters.get("ExpiredTo") == "log"
            and has_expired(reason),
            # Of a rejection, it is kept only when an attempt may have posted the alert.
            perhaps_posted=status in {Status.CLAIMED, Status.UNKNOWN}
            or (status == Status.REJECTED and "first_claimed_at" in item),
        )

    def batch_get_item(self, **call: Any) -> dict[str, Any]:  # noqa: ANN401  as `relay.posting.ledger` calls it
        """Answer as DynamoDB's client does."""
        keys = [each["pk"]["S"] for each in call["RequestItems"][self.table]["Keys"]]
        self.read(keys)
        return {"Responses": {self.table: [item for item in map(self.get, keys) if item]}}


def _number(item: dict[str, Any], name: str) -> float:
    return float(item.get(name, {}).get("N", 0))
