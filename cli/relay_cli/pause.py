"""``relay pause`` and ``relay resume``: the kill switch, an item of the ledger that the gate looks at before a post."""

from __future__ import annotations

import getpass
import time
from datetime import timedelta  # noqa: TC003  typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay_cli import gate_state
from relay_cli.failure import WRONG, Failure
from relay_cli.spans import span
from relay_cli.wording import at, moment, one_line

if TYPE_CHECKING:
    from relay_cli.context import Context
    from relay_cli.stack import Stack

_ITEM = {"pk": {"S": "pause"}}


def pause(
    context: typer.Context,
    why: Annotated[str, typer.Argument(help="Why, for whoever wonders; it is shown in the log.")],
    who: Annotated[str | None, typer.Option(help="Who orders it; else the name you are logged in with.")] = None,
    lasting: Annotated[
        timedelta | None,
        typer.Option("--for", parser=span, metavar="SPAN", help="For how long: 30m, 2h, 1d; else until you resume."),
    ] = None,
) -> None:
    """Stop posting. Nothing is lost: messages wait until you resume.

    A post that is on its way is finished; nothing is begun later than a second after.

    [dim]relay pause "earnings call"
    relay pause "maintenance" --for 2h --who Ann[/dim]
    """
    relay: Context = context.obj
    why, who = why.strip(), (who or me()).strip()
    if not why or not who:
        raise Failure("A pause needs a reason, and somebody who orders it: relay pause 'earnings call'.", WRONG)
    until = time.time() + lasting.total_seconds() if lasting else None
    before = impose(relay.stack, why, who, until)
    if before:
        relay.console.print(f"It replaces the pause of {before}.", soft_wrap=True)
    end = f"until {moment(at(until))}" if until else "until somebody says `relay resume`"
    relay.console.print(f"Paused by {who}: {why}. Nothing is posted {end}.", soft_wrap=True)


def resume(context: typer.Context) -> None:
    """Lift a pause. Messages go on within about two minutes.

    [dim]relay resume[/dim]
    """
    relay: Context = context.obj
    before = lift(relay.stack)
    words = f"Lifted the pause of {before}." if before else "There was no pause."
    relay.console.print(words, soft_wrap=True)
    for shut in gate_state.read(relay.stack).shut:
        end = f" until {moment(shut.until)}" if shut.until else ""
        relay.console.print(f"The gate is still shut{end}: {shut.reason}", soft_wrap=True)


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
