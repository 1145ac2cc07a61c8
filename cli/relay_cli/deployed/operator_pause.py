"""The operator's pause: an item of the ledger that the gate looks at before a post."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

from relay_cli.text import one_line

if TYPE_CHECKING:
    from relay_cli.deployed.stack import Stack


_ITEM = {"pk": {"S": "pause"}}


def impose(stack: Stack, why: str, who: str, until: float | None = None) -> str | None:
    """Write the operator's pause.

    Args:
        stack: Whose.
        why: Shown in the log.
        who: Who orders it; shown in the log.
        until: When it ends by itself, in seconds since the epoch; None for never.

    Returns:
        Who ordered the pause that it replaces, and why; None when there was none.
    """
    who, why = (each.encode(errors="replace").decode() for each in (who, why))  # a terminal may not speak UTF-8
    item = {**_ITEM, "who": {"S": who}, "why": {"S": why}}
    if until is not None:
        item["until"] = {"N": f"{until:.0f}"}
    answer = stack.client("dynamodb").put_item(
        TableName=stack.output("LedgerTableName"), Item=item, ReturnValues="ALL_OLD"
    )
    return _ordered(answer.get("Attributes"))


def lift(stack: Stack) -> str | None:
    """Delete the operator's pause; return who ordered it and why, None when there was none."""
    answer = stack.client("dynamodb").delete_item(
        TableName=stack.output("LedgerTableName"), Key=_ITEM, ReturnValues="ALL_OLD"
    )
    return _ordered(answer.get("Attributes"))


def _ordered(item: dict[str, Any] | None) -> str | None:
    """Say whose pause an item is and why; whatever another tool wrote, it is one."""
    if not item:
        return None
    who, why = (one_line(str(next(iter(item.get(name, {"S": "unknown"}).values())))) for name in ("who", "why"))
    return f"{who}: {why}"


def me() -> str:
    """Return the name that the operator is logged in with."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # nobody, as in some containers
        return "unknown"
