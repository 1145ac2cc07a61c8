"""``relay posts``: the outcomes of recent messages."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime  # noqa: TC003  typer reads them
from typing import TYPE_CHECKING, Annotated

import typer
from relay.posting.instants import instant
from relay.posting.outcome import Result
from rich.text import Text

from relay_cli.commands.options import parsed_by
from relay_cli.deployed import deliveries, waits
from relay_cli.deployed.ledger import State
from relay_cli.deployed.logs import Logs
from relay_cli.durations import span
from relay_cli.failure import USAGE, Failure
from relay_cli.output import print_json
from relay_cli.text import at, count, length, one_line, read_moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay_cli.context import Context
    from relay_cli.deployed.deliveries import Delivered
    from relay_cli.deployed.waits import Explanation

SHOWN = 20
"""How many messages are shown by default."""

EXAMINED = 1000
"""How many messages that the log has as deferred are looked up in the ledger, to find those that still wait."""

SHOWN_OF_A_BURST = 3
"""How many texts are shown of a burst without links."""

STYLES: dict[str, str] = {
    Result.POSTED: "green",
    Result.ALREADY_POSTED: "green",
    Result.REJECTED: "red",
    Result.DEFERRED: "yellow",
    Result.DRY_RUN: "cyan",
    Result.EXPIRED: "magenta",
}


def _since(text: str) -> datetime:
    """Parse how far back to look: a duration, or a point in time."""
    with suppress(ValueError):  # in any form that `expires_at` may have
        return instant(text)
    moment_named = read_moment(text)  # and without a zone, in UTC
    if moment_named:
        return moment_named
    try:
        start = at(time.time() - span(text).total_seconds())
    except Failure as failure:
        raise Failure(f"{failure.reason} A point in time looks like 2026-11-21T09:00Z.", USAGE) from None
    if start is None:
        raise Failure(f"{text} is too far back.", USAGE)
    return start


def posts(  # noqa: PLR0913  each is an option
    ctx: typer.Context,
    *,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="The maximum number of messages; 20, unless --since is given."),
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, hidden=True, help="An earlier name of --limit.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=parsed_by(_since),
            metavar="SPAN|TIME",
            help="How far back: 30m, 24h, 7d, or a point in time such as 2026-11-21T09:00Z.",
        ),
    ] = None,
    outcome: Annotated[
        Result | None,
        typer.Option(
            metavar="OUTCOME",
            help=f"Only messages with this outcome: {', '.join(Result)}. What waits now is deferred.",
        ),
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Only the message with this idempotency key.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the latest outcomes of recent messages, newest first.

    A burst, which is three or more messages with the same outcome and reason within seconds, is shown as one;
    --json lists them all. It reads the functions' log, which may be up to a minute behind, of the last five weeks. With
    --outcome deferred, it looks at the newest 1,000 messages that the log has as deferred.

    [dim]relay posts
    relay posts --since 24h --outcome rejected
    relay posts --outcome deferred
    relay posts --key NVDA-2026-11-20 --json[/dim]
    """
    context: Context = ctx.obj
    most = limit or last or (None if since else SHOWN)
    logs = Logs(context.stack)
    explained: dict[str, Explanation] = {}
    if outcome is Result.DEFERRED:
        rows, explained = _waiting(context, logs, most, since, key)
    else:
        rows = deliveries.newest(logs, most, since, outcome, key, latest=True)
    if as_json:
        print_json(rows)
        return
    if not rows:
        context.console.print("There is no such message in the log.")
        return
    for burst in deliveries.bursts(rows):
        text = _folded(context, burst, explained) if len(burst) > 1 else _format(context, burst[0], explained)
        context.console.print(text, soft_wrap=True)


def _waiting(
    context: Context, logs: Logs, most: int | None, since: datetime | None, key: str | None
) -> tuple[list[Delivered], dict[str, Explanation]]:
    """Return the newest messages that wait now, and for what: the log alone does not know which of them still do."""
    examined = min(most or EXAMINED, EXAMINED)
    while True:
        rows = deliveries.newest(logs, examined, since, Result.DEFERRED, key, latest=True)
        explained = waits.explain_rows(context.stack, rows)
        waiting = [row for row in rows if explained[row.message_id].state is State.WAITING]
        if len(rows) < examined or (most is not None and len(waiting) >= most):
            break
        if examined == EXAMINED:
            words = f"Of the messages that the log has as deferred, only the newest {EXAMINED:,} were looked at."
            context.notes.print(words, soft_wrap=True)
            break
        examined = min(10 * examined, EXAMINED)
    return waiting[:most], explained


def _folded(context: Context, burst: Sequence[Delivered], explained: dict[str, Explanation]) -> Text:
    """Format a burst: what its messages have in common, and a line for each; without links, for the newest ones.

    Where it is known what they wait for now, that of the newest is shown, and not the reason of its last delivery.
    """
    newest = burst[0]
    text = Text(context.moment(newest.at))
    text.append(f"  {one_line(newest.outcome)}", STYLES.get(newest.outcome, ""))
    within = length((newest.at - burst[-1].at).total_seconds())
    text.append(f": {count(len(burst), 'message')} within {within}")
    waiting = _waits(context, explained.get(newest.message_id))
    if waiting:
        text.append("".join(f"\n    the newest waits {each}" for each in waiting), "dim")
    elif newest.reason:
        text.append(f"\n    {one_line(newest.reason)}", "dim")
    linked = any(row.url for row in burst)
    for row in burst if linked else burst[:SHOWN_OF_A_BURST]:
        text.append(f"\n    {one_line(row.text, 100)}" if row.text else f"\n    key {one_line(row.key)}")
        if row.url:
            text.append(f"  {one_line(row.url)}", "blue")
    if not linked and len(burst) > SHOWN_OF_A_BURST:
        text.append(f"\n    and {len(burst) - SHOWN_OF_A_BURST:,} more, which --json lists", "dim")
    return text


def _format(context: Context, row: Delivered, explained: dict[str, Explanation]) -> Text:
    """Format a message in a few lines; links are not wrapped, so that they can be copied."""
    text = Text(context.moment(row.at))
    text.append(f"  {one_line(row.outcome)}", STYLES.get(row.outcome, ""))
    if row.delay_seconds is not None:
        text.append(f", {length(row.delay_seconds)} after it was queued")
    if row.attempts > 1:
        text.append(f", {row.attempts} attempts")
    if row.sentiment:
        text.append(f", {one_line(row.sentiment, 40)}")
    text.append(f"\n    {one_line(row.text)}" if row.text else f"\n    key {one_line(row.key)}")
    if row.url:
        text.append(f"\n    {one_line(row.url)}", "blue")
    if row.reason:
        text.append(f"\n    {one_line(row.reason)}", "dim")
    for each in _waits(context, explained.get(row.message_id)):
        text.append(f"\n    {each}", "dim")
    return text


def _waits(context: Context, explanation: Explanation | None) -> list[str]:
    """Return until when a message waits, and for what, a line for each."""
    return [
        f"{context.until(wait.until) if wait.until else wait.when}: {one_line(wait.reason, 1000)}"
        for wait in (explanation.waits if explanation else ())
    ]
