"""``relay pause`` and ``relay resume``: the kill switch, which the gate checks before every post."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta  # noqa: TC003  typer reads one, and data classes the other
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import ClientError

from relay_cli.commands.options import Json, parsed_by
from relay_cli.deployed import gate, queues
from relay_cli.deployed.operator_pause import NO_REASON, current_user, end_relays, impose, lift
from relay_cli.durations import span
from relay_cli.failure import USAGE, Failure, is_denied
from relay_cli.output import print_json
from relay_cli.text import at, count, length, moment, one_line

if TYPE_CHECKING:
    from relay_cli.context import Context
    from relay_cli.deployed.gate import GatePause, GateState
    from relay_cli.deployed.stack import Stack
    from relay_cli.outlook import Outlook


@dataclass(frozen=True, slots=True)
class Paused:
    """The operator's pause.

    Attributes:
        who: Who paused it.
        why: The reason.
        until: When it ends by itself; None for never.
        replaced: Who had paused it before, and why; None if nobody had.
    """

    who: str
    why: str
    until: datetime | None
    replaced: str | None


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a resume ended, and what comes next.

    Attributes:
        lifted: Who had paused it, and why; None if nobody had.
        forced: What else closed the gate, and was ended with ``--force``.
        gate: The gate now.
        outlook: When what waits will be posted; None if you may not count it.
    """

    lifted: str | None
    forced: list[GatePause]
    gate: GateState
    outlook: Outlook | None


def pause(
    ctx: typer.Context,
    why: Annotated[
        str | None, typer.Argument(metavar="REASON", help="The reason, if you like; it is shown in the log.")
    ] = None,
    who: Annotated[str | None, typer.Option(metavar="NAME", help="Who pauses it; by default, your user name.")] = None,
    lasting: Annotated[
        timedelta | None,
        typer.Option(
            "--for",
            parser=parsed_by(span),
            metavar="SPAN",
            help="For how long: 30m, 2h, 1d; by default, until you resume.",
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Stop posting. Nothing is lost: messages wait until you resume.

    A post in progress is completed; none starts later than one second after the pause.

    [dim]relay pause
    relay pause 'earnings call' --for 2h --who Ann[/dim]
    """
    context: Context = ctx.obj
    why, who = (why or "").strip() or NO_REASON, (who or current_user()).strip()
    if not who:
        raise Failure("--who is empty: give the name of whoever pauses it.", USAGE)
    until = time.time() + lasting.total_seconds() if lasting else None
    before = impose(context.stack, why, who, until)
    if as_json:
        print_json(Paused(who, why, at(until), before))
        return
    if before:
        context.console.print(f"It replaces the pause of {before}.", soft_wrap=True)
    end = "until `relay resume`"
    if lasting:
        end = f"until {moment(at(until))}" if context.exact else f"for {length(lasting.total_seconds())}"
    context.console.print(f"Paused by {one_line(who)}: {one_line(why)}. Nothing is posted {end}.", soft_wrap=True)


def resume(
    ctx: typer.Context,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="End a pause that StockTwits' answers imposed, too; it is shown first.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Lift a pause, and say how many messages wait and when they are posted.

    Posting continues within about two minutes, at the pace. A pause that StockTwits' answers imposed ends by itself.
    Use --force if you have fixed its cause: a single post is tried first. It does not change the pace, the daily cap
    and the posting hours.

    [dim]relay resume
    relay resume --force[/dim]
    """
    context: Context = ctx.obj
    stack = context.stack
    imposed = [each for each in gate.read(stack).pauses if each.ends_by_force] if force else []
    if not as_json:
        for each in imposed:
            _print_pause(context, "The gate is closed", each)
    before = lift(stack)
    forced = imposed if imposed and end_relays(stack) else []
    state = gate.read(stack)
    result = Resumed(before, forced, state, _outlook(context, stack, state))
    if as_json:
        print_json(result)
        return
    if before or not forced:
        words = f"Lifted the pause of {before}." if before else "There was no pause."
        context.console.print(words, soft_wrap=True)
    if forced:
        context.console.print("Ended what closed the gate: a single post is tried first.")
    for each in state.pauses:
        _print_pause(context, "The gate is still closed", each)
    if result.outlook:
        waiting = result.outlook.waiting
        words = (
            f"{count(waiting, 'message')} waiting: {result.outlook.in_words(exact=context.exact)}."
            if waiting
            else "Nothing waits."
        )
        context.console.print(words, soft_wrap=True)


def _print_pause(context: Context, what: str, each: GatePause) -> None:
    end = f" {context.until(each.until)}" if each.until else ""
    context.console.print(f"{what}{end}: {one_line(each.words, 1000)}", soft_wrap=True)


def _outlook(context: Context, stack: Stack, state: GateState) -> Outlook | None:
    """Return when what waits will be posted; None if you may not count it, since the pause is lifted nevertheless."""
    try:
        return gate.outlook(stack, state, queues.read(stack, queues.POSTING))
    except ClientError as error:
        if not is_denied(error):
            raise
        context.notes.print("AWS does not allow you to count what waits (sqs:GetQueueAttributes).", soft_wrap=True)
        return None
