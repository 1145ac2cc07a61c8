"""``relay status``: how the relay is doing, on one screen."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from relay_cli.deployed import backups as backup_state
from relay_cli.deployed import deliveries
from relay_cli.deployed import gate as gate_state
from relay_cli.deployed import queues as queue_state
from relay_cli.deployed.logs import Logs
from relay_cli.failure import USAGE, Failure
from relay_cli.output import print_json
from relay_cli.text import at, count, length, moment, one_line

if TYPE_CHECKING:
    from datetime import date, datetime

    from relay_cli.context import Context
    from relay_cli.deployed.backups import NightlyRun
    from relay_cli.deployed.deliveries import Delivered
    from relay_cli.deployed.gate import GateState, PaceLeft
    from relay_cli.deployed.queues import QueueState
    from relay_cli.deployed.stack import Stack

EVERY_SECONDS = 5.0
"""How often `--watch` looks again."""


@dataclass(frozen=True, slots=True)
class Posting:
    """The posting half."""

    gate: GateState
    queues: list[QueueState]
    last_post: Delivered | None


@dataclass(frozen=True, slots=True)
class Backups:
    """The half that fetches backups."""

    newest: dict[str, date | None]
    last_nightly: NightlyRun | None
    queues: list[QueueState]


@dataclass(frozen=True, slots=True)
class Status:
    """How a relay is doing; a half that is switched off is None."""

    stack: str
    at: datetime | None
    posting: Posting | None
    backups: Backups | None


def status(
    ctx: typer.Context,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every few seconds, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Show how the relay is doing: gate, pace, queues, last post, dead letters, backups.

    [dim]relay status
    relay status --watch
    relay status --json | jq .posting.gate.open[/dim]
    """
    context: Context = ctx.obj
    if watch and as_json:
        raise Failure("--watch is for people, --json for scripts: choose one.", USAGE)
    logs = Logs(context.stack)
    if as_json:
        print_json(look(context.stack, logs))
        return
    if not watch:
        context.console.print(shown(look(context.stack, logs)))
        return
    with Live(shown(look(context.stack, logs)), console=context.console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(EVERY_SECONDS)
            live.update(shown(look(context.stack, logs)), refresh=True)


def look(stack: Stack, logs: Logs) -> Status:
    """Look at everything now."""
    posting = backups = None
    if "PostMessagesFunctionName" in stack.outputs:
        queues = queue_state.read(stack, queue_state.POSTING)
        posting = Posting(gate_state.read(stack), queues, deliveries.last_posted(logs))
    if "FetchBackupsFunctionName" in stack.outputs:
        requests = queue_state.read(stack, queue_state.BACKUPS)
        backups = Backups(backup_state.newest(stack), backup_state.last_nightly(logs), requests)
    return Status(stack.name, at(time.time()), posting, backups)


def shown(state: Status) -> Table:
    """Lay the screen out: a name and what is to be said of it, a line each."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Stack", Text(f"{state.stack}, {moment(state.at)}", "dim"))
    if state.posting is None:
        table.add_row("Posting", Text("switched off", "dim"))
    else:
        gate = state.posting.gate
        table.add_row("Gate", _gate(gate))
        table.add_row("Pace", _pace(gate.pace))
        for queue in state.posting.queues:
            table.add_row(queue.name, _queue(queue, alarming=queue.name == "Dead letters"))
        table.add_row("Last post", _post(state.posting.last_post))
    if state.backups is None:
        table.add_row("Backups", Text("switched off", "dim"))
    else:
        for file_type, day in state.backups.newest.items():
            table.add_row(f"Newest {file_type}", Text(day.isoformat() if day else "none yet"))
        table.add_row("Nightly run", _nightly(state.backups.last_nightly))
        for queue in state.backups.queues:
            table.add_row(queue.name, _queue(queue, alarming=queue.name == "Backup failures"))
    return table


def _gate(gate: GateState) -> Text:
    text = Text("open", "green") if gate.open else Text("shut", "red")
    for number, shut in enumerate(gate.shut):
        end = f" until {moment(shut.until)}" if shut.until else " until somebody resumes"
        text.append(f"{'; and' if number else ''}{end}: {one_line(shut.reason)}", "")
    if gate.probe:
        text.append(f"; the next post is a trial, after: {one_line(gate.probe)}")
    if gate.dry_run:
        text.append("; a dry run, nothing is sent", "cyan")
    return text


def _pace(pace: PaceLeft) -> Text:
    hour = f"{pace.now} now, {pace.next_hour} within the hour ({pace.per_hour} an hour, {pace.burst} at once)"
    if pace.left_today is None:
        return Text(f"{hour}; {pace.posted_today} today (UTC), no cap")
    return Text(f"{hour}; {pace.left_today} left today (UTC) of {pace.per_day}")


def _queue(queue: QueueState, *, alarming: bool) -> Text:
    if not queue.messages:
        return Text("empty", "dim")
    text = Text(count(queue.messages, "message"), "red" if alarming else "")
    later = queue.in_flight + queue.delayed
    if later:
        text.append(f", {later} of them under way or waiting for another attempt", "")
    age = "unknown" if queue.oldest_seconds is None else length(queue.oldest_seconds)
    text.append(f"; age of the oldest: {age}", "")
    return text


def _post(post: Delivered | None) -> Text:
    if post is None:
        return Text("none in the log", "dim")
    text = Text(moment(post.at))
    if post.text:
        text.append(f"  {one_line(post.text, 120)}")
    if post.url:
        text.append(f"  {one_line(post.url)}", "blue")
    return text


def _nightly(run: NightlyRun | None) -> Text:
    if run is None:
        return Text("none in the last three days", "yellow")
    counts = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in run.counts.items()) or "nothing to do"
    text = Text(f"{moment(run.at)}: {counts}")
    if run.stopped:
        text.append(f"; it stopped early: {one_line(run.stopped)}", "red")
    return text
