"""``relay pause`` and ``relay resume``: the kill switch, an item of the ledger that the gate looks at before a post."""

from __future__ import annotations

import time
from datetime import timedelta  # noqa: TC003  typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

from relay_cli.deployed import gate as gate_state
from relay_cli.deployed.operator_pause import current_user, impose, lift
from relay_cli.durations import span
from relay_cli.failure import USAGE, Failure
from relay_cli.text import at, moment

if TYPE_CHECKING:
    from relay_cli.context import Context


def pause(
    ctx: typer.Context,
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
    context: Context = ctx.obj
    why, who = why.strip(), (who or current_user()).strip()
    if not why or not who:
        raise Failure("A pause needs a reason, and somebody who orders it: relay pause 'earnings call'.", USAGE)
    until = time.time() + lasting.total_seconds() if lasting else None
    before = impose(context.stack, why, who, until)
    if before:
        context.console.print(f"It replaces the pause of {before}.", soft_wrap=True)
    end = f"until {moment(at(until))}" if until else "until somebody says `relay resume`"
    context.console.print(f"Paused by {who}: {why}. Nothing is posted {end}.", soft_wrap=True)


def resume(ctx: typer.Context) -> None:
    """Lift a pause. Messages go on within about two minutes.

    [dim]relay resume[/dim]
    """
    context: Context = ctx.obj
    before = lift(context.stack)
    words = f"Lifted the pause of {before}." if before else "There was no pause."
    context.console.print(words, soft_wrap=True)
    for shut in gate_state.read(context.stack).shut:
        end = f" until {moment(shut.until)}" if shut.until else ""
        context.console.print(f"The gate is still shut{end}: {shut.reason}", soft_wrap=True)
