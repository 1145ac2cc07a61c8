"""The operator's pause, an item in the ledger that the gate checks before every post; and how to end the relay's."""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING, Any

from relay_cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay_cli.deployed.stack import Stack


NO_REASON = "no reason given"

TOKEN_CAUSES = ("token_refused", "stream")
"""The causes of the pauses that another token may end; a test compares them with `relay.posting.stocktwits`."""

_ITEM = {"pk": {"S": "pause"}}


def impose(stack: Stack, why: str, who: str, until: float | None = None) -> str | None:
    """Write the operator's pause.

    Args:
        stack: The stack to pause.
        why: The reason; shown in the log.
        who: The operator; shown in the log.
        until: When it ends by itself, in seconds since the epoch; None for never.

    Returns:
        Who imposed the pause that this one replaces, and why; None if there was none.
    """
    who, why = (each.encode(errors="replace").decode() for each in (who, why))  # a terminal may not use UTF-8
    item = {**_ITEM, "who": {"S": who}, "why": {"S": why}}
    if until is not None:
        item["until"] = {"N": f"{until:.0f}"}
    answer = stack.client("dynamodb").put_item(
        TableName=stack.output("LedgerTableName"), Item=item, ReturnValues="ALL_OLD"
    )
    return _describe(answer.get("Attributes"))


def lift(stack: Stack) -> str | None:
    """Delete the operator's pause; return who imposed it and why, or None if there was none."""
    answer = stack.client("dynamodb").delete_item(
        TableName=stack.output("LedgerTableName"), Key=_ITEM, ReturnValues="ALL_OLD"
    )
    return _describe(answer.get("Attributes"))


def end_relays(stack: Stack, causes: Sequence[str] = ()) -> bool:
    """End the pause that StockTwits' answers imposed, so that a single post is tried first: its cause may go on.

    Args:
        stack: The stack whose gate is closed.
        causes: End it only if it has one of these causes; any if there are none.

    Returns:
        Whether there was such a pause.
    """
    dynamodb = stack.client("dynamodb")
    listed = {f":cause{number}": {"S": cause} for number, cause in enumerate(causes)}
    one_of_them = f" AND shut.cause IN ({', '.join(listed)})" if listed else ""
    try:
        dynamodb.update_item(
            TableName=stack.output("LedgerTableName"),
            Key={"pk": {"S": "gate"}},
            UpdateExpression="SET shut.#until = :now, shut.probe = :trial, version = version + :one",
            ConditionExpression=f"shut.#until > :now{one_of_them}",
            ExpressionAttributeNames={"#until": "until"},
            ExpressionAttributeValues={
                ":now": {"N": repr(time.time())},
                ":trial": {"BOOL": True},
                ":one": {"N": "1"},
                **listed,
            },
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return False
    return True


def _describe(item: dict[str, Any] | None) -> str | None:
    """Return who imposed a pause and why; an item that another tool wrote may lack both."""
    if not item:
        return None
    who, why = (one_line(str(next(iter(item.get(name, {"S": "unknown"}).values())))) for name in ("who", "why"))
    return f"{who}: {why}"


def current_user() -> str:
    """Return the name of the user who is logged in."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # as in some containers
        return "unknown"
