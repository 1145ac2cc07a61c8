"""``relay pause`` and ``relay resume``: the kill switch, which the gate checks before every post."""

from __future__ import annotations

import time
from datetime import timedelta  # noqa: TC003  typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

from relay_cli.deployed import gate
from relay_cli.deployed.operator_pause import current_user, impose, lift
from relay_cli.durations import span
from relay_cli.failure import USAGE, Failure
from relay_cli.text import at, moment, one_line

if TYPE_CHECKING:
    from relay_cli.context import Context


def pause(
    ctx: typer.Context,
    why: Annotated[str, typer.Argument(help="The reason; it is shown in the log.")],
    who: Annotated[str | None, typer.Option(help="Who pauses it; by default, your user name.")] = None,
    lasting: Annotated[
        timedelta | None,
        typer.Option(
            "--for", parser=span, metavar="SPAN", help="For how long: 30m, 2h, 1d; by default, until you resume."
        ),
    ] = None,
) -> None:
    """Stop posting. Nothing is lost: messages wait until you resume.

    A post in progress is completed; none starts later than one second after the pause.

    [dim]relay pause "earnings call"
    relay pause "maintenance" --for 2h --who Ann[/dim]
    """
    context: Context = ctx.obj
    why, who = why.strip(), (who or current_user()).strip()
    if not why or not who:
        raise Failure("A pause needs a reason and an operator: relay pause 'earnings call' --who Ann.", USAGE)
    until = time.time() + lasting.total_seconds() if lasting else None
    before = impose(context.stack, why, who, until)
    if before:
        context.console.print(f"It replaces the pause of {before}.", soft_wrap=True)
    end = f"until {moment(at(until))}" if until else "until `relay resume`"
    context.console.print(f"Paused by {one_line(who)}: {one_line(why)}. Nothing is posted {end}.", soft_wrap=True)


def resume(ctx: typer.Context) -> None:
    """Lift a pause. Posting continues within about two minutes.

    [dim]relay resume[/dim]
    """
    context: Context = ctx.obj
    before = lift(context.stack)
    words = f"Lifted the pause of {before}." if before else "There was no pause."
    context.console.print(words, soft_wrap=True)
    for each in gate.read(context.stack).pauses:
        end = f" until {moment(each.until)}" if each.until else ""
        context.console.print(f"The gate is still closed{end}: {one_line(each.words, 1000)}", soft_wrap=True)
