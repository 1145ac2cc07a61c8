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

from relay_cli.deployed import deliveries
from relay_cli.deployed.logs import Logs
from relay_cli.durations import span
from relay_cli.failure import USAGE, Failure
from relay_cli.output import print_json
from relay_cli.text import at, length, moment, one_line, read_moment

if TYPE_CHECKING:
    from relay_cli.context import Context
    from relay_cli.deployed.deliveries import Delivered

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
    last: Annotated[
        int | None, typer.Option(min=1, help="The maximum number of messages; 20, unless --since is given.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=_since,
            metavar="SPAN",
            help="How far back: 30m, 24h, 7d, or a point in time such as 2026-11-21T09:00Z.",
        ),
    ] = None,
    outcome: Annotated[Result | None, typer.Option(help="Only messages with this outcome.")] = None,
    key: Annotated[str | None, typer.Option(help="Only the message with this idempotency key.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the outcomes of recent messages, newest first.

    It reads the functions' log, which may be up to a minute behind.

    [dim]relay posts
    relay posts --since 24h --outcome rejected
    relay posts --key NVDA-2026-11-20 --json[/dim]
    """
    context: Context = ctx.obj
    most = last or (None if since else 20)
    rows = deliveries.newest(Logs(context.stack), most, since, outcome, key)
    if as_json:
        print_json(rows)
        return
    if not rows:
        context.console.print("There is no such message in the log.")
        return
    for row in rows:
        context.console.print(_format(row), soft_wrap=True)


def _format(row: Delivered) -> Text:
    """Format a message in a few lines; links are not wrapped, so that they can be copied."""
    text = Text(moment(row.at))
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
    return text
