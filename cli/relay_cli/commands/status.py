"""``relay status``: the state of the relay on one screen."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import ClientError
from rich.live import Live
from rich.table import Table
from rich.text import Text

from relay_cli.deployed import backups, deliveries, gate, queues, waits, webhook_sources
from relay_cli.deployed.ledger import State
from relay_cli.deployed.logs import Logs
from relay_cli.failure import FAILED, USAGE, Failure, outlast_temporary
from relay_cli.output import print_json
from relay_cli.text import at, count, length, local, moment, one_line

if TYPE_CHECKING:
    from datetime import date, datetime

    from relay_cli.context import Context
    from relay_cli.deployed.backups import NightlyRun
    from relay_cli.deployed.deliveries import Delivered
    from relay_cli.deployed.gate import GateState, PaceLeft
    from relay_cli.deployed.queues import QueueState
    from relay_cli.deployed.stack import Stack
    from relay_cli.deployed.waits import Explanation
    from relay_cli.outlook import Outlook

_STATES: dict[str, str] = {
    State.WAITING: "yellow",
    State.POSTED: "green",
    State.REJECTED: "red",
    State.DRY_RUN: "cyan",
}

EVERY_SECONDS = 5.0
"""How often `--watch` refreshes."""


@dataclass(frozen=True, slots=True)
class Posting:
    """The state of posting.

    Attributes:
        gate: Whether it is open.
        queues: How much waits.
        last_post: The newest message that was posted.
        held: The messages that a rule keeps back, as far as the log of the last hour has them.
        outlook: When what waits will be posted.
    """

    gate: GateState
    queues: list[QueueState]
    last_post: Delivered | None
    held: list[Delivered]
    outlook: Outlook


@dataclass(frozen=True, slots=True)
class Backups:
    """The state of fetching backups."""

    newest: dict[str, date | None]
    last_nightly: NightlyRun | None
    queues: list[QueueState]


@dataclass(frozen=True, slots=True)
class Webhook:
    """The way in for programs without AWS credentials.

    Attributes:
        url: Its address, without a source and without a secret.
        sources: How many sources may post alerts to it; None if you may not read them, or they cannot be read.
    """

    url: str
    sources: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a relay; what is switched off is None."""

    stack: str
    at: datetime | None
    posting: Posting | None
    backups: Backups | None
    webhook: Webhook | None


def status(
    ctx: typer.Context,
    why: Annotated[
        str | None, typer.Option(metavar="KEY", help="What the message with this idempotency key waits for.")
    ] = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh every few seconds, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the state of the relay: gate, pace, queues, last post, dead letters, backups.

    With --why, show what one message waits for, in order of when that ends. The key of a message that was published
    without one is its SQS message id. The functions' log may be up to a minute behind. The exit code is 1 if nothing is
    known of the key.

    [dim]relay status
    relay status --watch
    relay status --why NVDA-2026-11-20
    relay status --json | jq .posting.gate.open[/dim]
    """
    context: Context = ctx.obj
    if watch and (as_json or why is not None):
        raise Failure(f"--watch and {'--json' if as_json else '--why'} cannot be combined: choose one.", USAGE)
    logs = Logs(context.stack)
    if why is not None:
        _explain(context, logs, why, as_json=as_json)
        return
    if as_json:
        print_json(read(context.stack, logs))
        return
    if not watch:
        context.console.print(render(read(context.stack, logs), context))
        return
    screen = render(read(context.stack, logs), context)
    with Live(screen, console=context.console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(EVERY_SECONDS)
            with outlast_temporary():  # the old state stays, with its time
                live.update(render(read(context.stack, logs), context), refresh=True)


def _explain(context: Context, logs: Logs, key: str, *, as_json: bool) -> None:
    explanation = waits.explain(context.stack, logs, key)
    if as_json:
        print_json(explanation)
    else:
        context.console.print(render_why(explanation, context))
    if explanation.state is State.UNKNOWN:
        raise typer.Exit(FAILED)


def read(stack: Stack, logs: Logs) -> Status:
    """Read the current state."""
    posting = archive = None
    if "PostMessagesFunctionName" in stack.outputs:
        posting_queues = queues.read(stack, queues.POSTING)
        last_post = deliveries.last_posted(logs)
        state = gate.read(stack)
        held = deliveries.held(logs)
        posting = Posting(state, posting_queues, last_post, held, gate.outlook(stack, state, posting_queues))
    if "FetchBackupsFunctionName" in stack.outputs:
        backup_queues = queues.read(stack, queues.BACKUPS)
        archive = Backups(backups.newest(stack), backups.last_nightly(logs), backup_queues)
    url = stack.outputs.get("WebhookUrl")
    webhook = Webhook(url, _sources(stack)) if url else None
    return Status(stack.name, at(time.time()), posting, archive, webhook)


def _sources(stack: Stack) -> int | None:
    """Count the webhook's sources, which only some operators may read."""
    try:
        return len(webhook_sources.read(stack).sources)
    except (Failure, ClientError):
        return None


def render(state: Status, context: Context) -> Table:
    """Lay out the screen: one line with a name and a value for each part.

    Args:
        state: The state.
        context: How to show points in time.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Stack", Text(f"{state.stack}, {moment(state.at) if context.exact else local(state.at)}", "dim"))
    if state.posting is None:
        table.add_row("Posting", Text("switched off", "dim"))
    else:
        table.add_row("Gate", _gate(state.posting.gate, context))
        table.add_row("Pace", _pace(state.posting.gate.pace))
        for queue in state.posting.queues:
            table.add_row(queue.name, _queue(queue, alarming=queue.name == "Dead letters"))
        if state.posting.outlook.waiting:
            table.add_row("Waiting", _waiting(state.posting.outlook, context))
        if state.posting.held:
            table.add_row("Held back", _held(state.posting.held))
        table.add_row("Last post", _post(state.posting.last_post, context))
    if state.webhook:
        table.add_row("Webhook", _webhook(state.webhook))
    if state.backups is None:
        table.add_row("Backups", Text("switched off", "dim"))
    else:
        for file_type, day in state.backups.newest.items():
            table.add_row(f"Newest {file_type}", Text(day.isoformat() if day else "none yet"))
        table.add_row("Nightly run", _nightly(state.backups.last_nightly, context))
        for queue in state.backups.queues:
            table.add_row(queue.name, _queue(queue, alarming=queue.name == "Backup failures"))
    return table


def render_why(explanation: Explanation, context: Context) -> Table:
    """Lay out what is known of one message: first what it waits for, or where it is."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Key", Text(one_line(explanation.key)))
    if explanation.text:
        table.add_row("Text", Text(one_line(explanation.text)))
    state = Text(explanation.state.replace("_", " "), _STATES.get(explanation.state, ""))
    if explanation.attempts:
        state.append(f", {count(explanation.attempts, 'attempt')}", "")
    if explanation.seen_at:
        state.append(f", last seen {context.moment(explanation.seen_at)}", "")
    table.add_row("State", state)
    for number, wait in enumerate(explanation.waits):
        end = context.until(wait.until) if wait.until else wait.when
        table.add_row("" if number else "Waits", Text(f"{end}: {one_line(wait.reason, 1000)}"))
    if explanation.reason and not explanation.waits:
        table.add_row("Reason", Text(one_line(explanation.reason, 1000)))
    if explanation.expires_at:
        table.add_row("Expires", Text(context.moment(explanation.expires_at)))
    if explanation.url:
        table.add_row("Page", Text(one_line(explanation.url), "blue"))
    if explanation.state is not State.POSTED:
        table.add_row("Then" if explanation.waits else "", Text(explanation.outlook, "dim"))
    return table


def _gate(state: GateState, context: Context) -> Text:
    text = Text("open", "green") if state.open else Text("closed", "red")
    for number, pause in enumerate(state.pauses):
        end = f" {context.until(pause.until)}" if pause.until else " until `relay resume`"
        text.append(f"{'; and' if number else ''}{end}: {one_line(pause.words, 1000)}", "")
    if state.probe:
        text.append(f"; the next post is a trial, after: {one_line(state.probe)}")
    if state.dry_run:
        text.append("; dry run: nothing is sent", "cyan")
    return text


def _pace(pace: PaceLeft) -> Text:
    hour = f"{pace.now} now, {pace.next_hour} within the hour ({pace.per_hour} an hour, {pace.burst} at once)"
    if pace.left_today is None:
        return Text(f"{hour}; {pace.posted_today} today (UTC), no daily cap")
    return Text(f"{hour}; {pace.left_today} left today (UTC) of {pace.per_day}")


def _queue(queue: QueueState, *, alarming: bool) -> Text:
    if not queue.messages:
        return Text("empty", "dim")
    text = Text(count(queue.messages, "message"), "red" if alarming else "")
    later = queue.in_flight + queue.delayed
    if later:
        text.append(f", {later} of them in flight or waiting for another attempt", "")
    if queue.oldest_seconds is not None:
        text.append(f"; age of the oldest: {length(queue.oldest_seconds)}", "")
    return text


def _waiting(outlook: Outlook, context: Context) -> Text:
    words = outlook.in_words(exact=context.exact)
    return Text(f"{count(outlook.waiting, 'message')}: {words}", "yellow" if outlook.too_late else "")


def _webhook(webhook: Webhook) -> Text:
    text = Text(f"{one_line(webhook.url)}, ")
    if webhook.sources is None:
        text.append("its sources could not be read: see `relay doctor`", "yellow")
    else:
        text.append(count(webhook.sources, "source"), "" if webhook.sources else "yellow")
    return text


def _held(held: list[Delivered]) -> Text:
    rules = ", ".join(dict.fromkeys(one_line(hold.cause, 40) for row in held for hold in row.holds))
    return Text(
        f"{count(len(held), 'message')} of the last hour, by a rule ({rules}): "
        f"`relay status --why KEY`, such as {one_line(held[0].key, 80)}"
    )


def _post(post: Delivered | None, context: Context) -> Text:
    if post is None:
        return Text("none in the log", "dim")
    text = Text(context.moment(post.at))
    if post.text:
        text.append(f"  {one_line(post.text, 120)}")
    if post.url:
        text.append(f"  {one_line(post.url)}", "blue")
    return text


def _nightly(run: NightlyRun | None, context: Context) -> Text:
    if run is None:
        return Text("none in the last three days", "yellow")
    counts = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in run.counts.items()) or "nothing to do"
    text = Text(f"{context.moment(run.at)}: {counts}")
    if run.stopped:
        text.append(f"; it stopped early: {one_line(run.stopped)}", "red")
    return text
