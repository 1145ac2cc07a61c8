"""``relay send``: publish alerts, and wait for their outcomes."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError
from relay.client import may_be_queued
from relay.posting.outcome import Result
from rich.progress import Progress
from rich.text import Text

from relay_cli import drafts, unsent
from relay_cli.commands.options import FromFile, Json, parsed_by
from relay_cli.deployed import gate, outbox, outcomes
from relay_cli.durations import coming, span
from relay_cli.failure import FAILED, INTERRUPTED, USAGE, Failure, from_aws_error
from relay_cli.files import read_input
from relay_cli.output import erased, print_json
from relay_cli.prompts import at_a_terminal, confirm
from relay_cli.text import at, count, length, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rich.status import Status

    from relay_cli.context import Context
    from relay_cli.deployed.gate import GatePause
    from relay_cli.deployed.outbox import Sent
    from relay_cli.deployed.outcomes import Outcome
    from relay_cli.drafts import Chart, Draft, InvalidLine

LONGEST_WAIT = timedelta(minutes=15)
"""How long `--wait` waits by default."""

SHOWN_LINES = 10
"""How many invalid lines of a file are shown."""

GATE_SECONDS = 10.0
"""How often `--wait` looks whether the gate is closed for a new reason, such as a token that StockTwits refused."""

STANDARD_INPUT = "-"


class Sentiment(StrEnum):
    """The sentiments that StockTwits knows; a test compares them with `relay.posting.alert.Alert`."""

    BULLISH = "bullish"
    BEARISH = "bearish"
    NEUTRAL = "neutral"


class Priority(StrEnum):
    """The priorities of a message; a test compares them with `relay.posting.alert.Alert`."""

    HIGH = "high"
    NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message of the command.

    Attributes:
        message: Its fields, with its key.
        key: Its idempotency key, as in the ledger.
        message_id: Its SQS message id; None if it was not sent, or SQS did not confirm it.
        line: Its line in the file; None if it is not from a file.
        outcome: What became of it, if ``--wait`` saw that.
        url: The post's page.
        reason: Why there is no post.
    """

    message: dict[str, Any]
    key: str
    message_id: str | None
    line: int | None
    outcome: Result | None
    url: str
    reason: str


@dataclass(frozen=True, slots=True)
class SendResult:
    """The result of the command.

    Attributes:
        messages: The messages, in their order.
        invalid_lines: How many lines of the file are not messages.
        unsent_file: The file with the lines that were not sent, if there are any.
    """

    messages: list[SentMessage]
    invalid_lines: int
    unsent_file: Path | None


def send(  # noqa: PLR0913  each is an option
    ctx: typer.Context,
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT", help="What to post, in 'single quotes'; - or nothing to read it from standard input."
        ),
    ] = None,
    *,
    sentiment: Annotated[Sentiment | None, typer.Option(help="The sentiment shown with the post.")] = None,
    reply_to: Annotated[
        int | None, typer.Option(min=1, metavar="ID", help="The StockTwits id of the message to reply to.")
    ] = None,
    chart: Annotated[
        str | None, typer.Option(metavar="FILE|URL", help="An image: JPG, PNG or GIF under 2 MB, or an https:// link.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="An idempotency key: a key is posted at most once, however often it is sent."),
    ] = None,
    expires_in: Annotated[
        timedelta | None,
        typer.Option(parser=parsed_by(span), metavar="SPAN", help="Do not post it after this time: 30m, 2h ..."),
    ] = None,
    not_before: Annotated[
        datetime | None,
        typer.Option(
            parser=parsed_by(coming),
            metavar="TIME|'in SPAN'",
            help="Do not post it before: 2026-11-21T16:00:00Z, 'in 2h' ...",
        ),
    ] = None,
    priority: Annotated[
        Priority | None, typer.Option(help="high goes before others among what waits, as far as SQS allows.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file", "-f", metavar="FILE.jsonl|-", help="Messages in JSON, one per line; - for standard input."
        ),
    ] = None,
    from_file: FromFile = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Send the valid lines of a file even if others are invalid.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is posted, rejected or expired, and show the link.")
    ] = False,
    wait_for: Annotated[
        timedelta | None,
        typer.Option(
            parser=parsed_by(span), metavar="SPAN", help="Wait at most so long; without it, --wait waits 15m."
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask for confirmation of a text without a cashtag.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the messages, show what would be sent, and send nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Publish one alert, or many from a file. The relay posts them at its pace.

    Write the text in single quotes: within double quotes, the shell replaces $AAPL by nothing. A text without a cashtag
    is asked about on a terminal. Standard input is one text, or one message in JSON.

    Messages that cannot be posted are refused before anything is sent, by the relay's own rules.
    With --wait, the exit code is 0 if all messages were posted, and 1 if one was rejected, one expired or
    the time ran out.

    Each command and each line of a file is a separate post, unless it has a key that was used before.
    Lines that could not be sent are written to another file in the current folder: send that one, not the whole file.

    [dim]relay send 'Up 3% on twice the usual volume $AAPL' --wait
    relay send 'Breakout $NVDA' --sentiment bullish --chart chart.png --key NVDA-2026-11-20 --expires-in 30m
    relay send - < alert.txt
    relay send --file alerts.jsonl[/dim]
    """
    context: Context = ctx.obj
    file = from_file if file is None else file
    fields = {
        "sentiment": sentiment.value if sentiment else None,
        "in_reply_to_message_id": reply_to,
        "chart": chart,
        "key": key,
        "expires_at": _in(expires_in),
        "not_before": not_before.isoformat() if not_before else None,
        "priority": priority.value if priority else None,
    }
    image: Chart | None = None
    invalid: list[InvalidLine] = []
    if file is not None:
        _check_alone(text, file, fields)
        chosen, invalid = _read(context, file, keep_going=keep_going)
    else:
        typed = _typed(text)
        image = _chart(context, chart)
        chosen = [_draft(typed, fields | ({"chart": image.address} if image else {}), piped=text != typed)]
    warnings = [drafts.without_cashtag(chosen, quoted=text is not None), None if dry_run else _switched_off(context)]
    for warning in filter(None, warnings):
        context.notes.print(Text(f"Note: {warning}", "yellow"), soft_wrap=True)
    if dry_run:
        _show_unsent(context, chosen, invalid, as_json=as_json)
        return
    if file is None and not chosen[0].has_cashtag and not yes and at_a_terminal():
        confirm("Send it without a cashtag?", "Nothing was sent", "--yes")
    if image:
        outbox.upload(context.stack, image)

    sent, failure = _publish(context, chosen, quiet=as_json)
    accepted = {each.draft for each in sent}
    left = [each for each in chosen if each not in accepted]
    kept = unsent.keep(file, left, invalid) if file and (left or invalid) else None
    ended: list[Outcome] = []
    waiting = 0
    try:
        if failure:
            raise _incomplete(failure, left, kept)
        if wait or wait_for:
            waiting = _follow(context, sent, wait_for or LONGEST_WAIT, ended, quiet=as_json)
    finally:
        if as_json:
            print_json(SendResult(_result(chosen, sent, ended), len(invalid), kept))
    counts = Counter(each.result for each in ended)
    problems = {
        f"not sent: see {kept}" if kept else "not sent": len(left) + len(invalid),
        "rejected: see `relay dead list`": counts[Result.REJECTED],
        "expired before it was posted": counts[Result.EXPIRED],
        "not posted yet, but still queued: do not send it again, `relay posts` shows the outcome": waiting,
    }
    if any(problems.values()):
        raise Failure("; ".join(f"{count(n, 'message')} {what}" for what, n in problems.items() if n) + ".", FAILED)


def _check_alone(text: str | None, file: str, fields: dict[str, Any]) -> None:
    """Refuse what has no meaning together with --file; raises `Failure`."""
    if text is not None:
        raise Failure(f"Give either a text or --file {file}, not both: each line of the file is a message.", USAGE)
    given = [drafts.OPTIONS[name] for name, value in fields.items() if value is not None]
    if given:
        raise Failure(f"Leave out {', '.join(given)} with --file: each line has fields of its own.", USAGE)


def _typed(text: str | None) -> str:
    """Return the text to post: the argument, or standard input if that is ``-``, or missing and a pipe has it.

    Raises:
        Failure: There is none.
    """
    if text is not None and text != STANDARD_INPUT:
        return text
    if text is None and at_a_terminal():
        piped = ""
    else:
        try:
            piped = sys.stdin.buffer.read().decode("utf-8-sig").strip() if sys.stdin else ""
        except UnicodeDecodeError:
            raise Failure("Standard input is not text in UTF-8.", USAGE) from None
    if not piped:
        nothing = "Standard input is empty. " if text else ""
        raise Failure(
            f"{nothing}Give the text to post: relay send 'Up 3% $AAPL', or --file FILE.jsonl for many.", USAGE
        )
    return piped


def _draft(text: str, fields: dict[str, Any], *, piped: bool) -> Draft:
    """Return the message with a text; one that was piped may be a whole message in JSON. Raises `Failure`."""
    if text.strip() == STANDARD_INPUT:  # as `echo - | relay send -` has it, which was not meant as an alert
        raise Failure(f"The text is only {STANDARD_INPUT}: nothing was sent.", USAGE)
    if not piped or not drafts.is_object(text):
        if piped and drafts.is_object(text.partition("\n")[0]):
            raise Failure("Standard input has a message on each line: send them with --file -.", USAGE)
        return drafts.from_fields(text, fields)
    given = [drafts.OPTIONS[name] for name, value in fields.items() if value is not None and name != "key"]
    if given:
        raise Failure(f"Leave out {', '.join(given)}: standard input is JSON, which has fields of its own.", USAGE)
    return drafts.from_json(text, fields["key"])


def _result(chosen: Sequence[Draft], sent: Iterable[Sent] = (), ended: Iterable[Outcome] = ()) -> list[SentMessage]:
    ids = {each.draft: each.message_id for each in sent}
    outcomes_by_draft = {each.draft: each for each in ended}
    found = [(each, outcomes_by_draft.get(each)) for each in chosen]
    return [
        SentMessage(
            message=draft.fields,
            key=draft.key,
            message_id=ids.get(draft),
            line=draft.line or None,
            outcome=outcome.result if outcome else None,
            url=outcome.url if outcome else "",
            reason=outcome.reason if outcome else "",
        )
        for draft, outcome in found
    ]


def _show_unsent(context: Context, chosen: list[Draft], invalid: list[InvalidLine], *, as_json: bool) -> None:
    """Print what --dry-run leaves unsent; raises `Failure` if some lines are invalid."""
    if as_json:
        print_json(SendResult(_result(chosen), len(invalid), None))
    elif len(chosen) == 1:
        context.console.print("Nothing was sent (--dry-run). The message is valid:")
        context.console.print(chosen[0].body, soft_wrap=True)
    else:
        context.console.print(f"Nothing was sent (--dry-run). {count(len(chosen), 'message')} can be sent.")
    if invalid:
        raise Failure(f"{count(len(invalid), 'line')} invalid.", FAILED)


def _incomplete(failure: Failure, left: list[Draft], kept: Path | None) -> Failure:
    """Add what to do about messages whose request failed as a whole; SQS may have accepted them nevertheless."""
    if not left:
        advice = "All messages were queued before that; `relay posts` shows their outcomes."
    elif kept:
        command = f"relay send --file {kept}"
        advice = f"{count(len(left), 'message')} may not have been sent: run `{command}`, do not send the whole file."
    else:
        option = shlex.join(["--key", left[0].key])
        advice = f"The message may or may not be queued: send it with {option}, and it is posted once."
    return Failure(f"{failure.reason}\n{advice}", failure.code)


def _switched_off(context: Context) -> str | None:
    if "PostMessagesFunctionName" in context.stack.outputs:
        return None
    return "posting is switched off in this stack: messages wait until it is on again, for up to 14 days."


def _in(after: timedelta | None) -> str | None:
    expires_at = at(time.time() + after.total_seconds()) if after else None
    return expires_at.isoformat(timespec="seconds") if expires_at else None


def _chart(context: Context, given: str | None) -> Chart | None:
    """Return a local chart that must be uploaded; None if there is no chart, or if it is a URL."""
    if given is None or drafts.is_url(given):
        return None
    return drafts.chart(given, context.stack.parameters.get("ChartBucketName", ""))


def _read(context: Context, file: str, *, keep_going: bool) -> tuple[list[Draft], list[InvalidLine]]:
    """Read the messages of a file; print what is wrong with invalid lines, and return those too."""
    found, invalid = drafts.from_lines(read_input(file).split(b"\n"))
    for each in invalid[:SHOWN_LINES]:
        context.notes.print(Text(one_line(f"line {each.line}: {each.reason}"), "yellow"), soft_wrap=True)
    if len(invalid) > SHOWN_LINES:
        context.notes.print(f"... and {count(len(invalid) - SHOWN_LINES, 'line')} more", style="yellow")
    if invalid and not keep_going:
        raise Failure(
            f"Nothing was sent: {count(len(invalid), 'line')} invalid. Fix them, or send the others with --keep-going.",
            USAGE,
        )
    if not found:
        raise Failure(f"There are no messages in {file}.", USAGE)
    return found, invalid


def _publish(context: Context, chosen: list[Draft], *, quiet: bool) -> tuple[list[Sent], Failure | None]:
    """Publish messages, and print which ones SQS refused.

    Returns:
        The messages that SQS accepted; and why publishing stopped early, in which case some of the others may have been
        accepted too.

    Raises:
        ClientError: Nothing was sent at all.
    """
    sent: list[Sent] = []
    refused: list[tuple[Draft, str]] = []
    failure: Failure | None = None
    try:
        with Progress(
            console=context.notes, transient=True, disable=len(chosen) == 1 or not context.notes.is_terminal
        ) as progress:
            bar = progress.add_task("Publishing", total=len(chosen))

            def on_sent(more: list[Sent]) -> None:
                sent.extend(more)
                progress.advance(bar, len(more))

            refused = outbox.publish(context.stack, chosen, on_sent)
    except (ClientError, BotoCoreError) as error:
        if not sent and not may_be_queued(error):
            raise
        failure = from_aws_error(error)
    except KeyboardInterrupt:
        failure = Failure("Interrupted.", INTERRUPTED)
    for draft, code in refused:
        what = f"line {draft.line}" if draft.line else "the message"
        context.notes.print(Text(f"SQS did not accept {what}: {one_line(code)}", "yellow"), soft_wrap=True)
    if quiet:
        return sent, failure
    if len(chosen) == 1 and sent:
        text = f"Queued as {sent[0].message_id}, with the key {one_line(sent[0].draft.key, 80)}."
        context.console.print(Text(text), soft_wrap=True)
    elif sent:
        context.console.print(f"Queued {count(len(sent), 'message')}.")
    return sent, failure


def _follow(context: Context, sent: list[Sent], most: timedelta, ended: list[Outcome], *, quiet: bool) -> int:
    """Wait for the outcomes, append them to `ended`, and print them; return how many messages have none yet."""

    def on_outcome(outcome: Outcome) -> None:
        ended.append(outcome)
        if not quiet:
            with erased(spinner):
                context.console.print(_line(outcome), soft_wrap=True)

    def on_failure(line: str) -> None:
        context.notes.print(Text(one_line(line), "yellow"), soft_wrap=True)

    spinner = context.notes.status("Waiting")
    try:
        with spinner:
            watch = _Watch(context, spinner, most)
            waiting = outcomes.follow(context.stack, sent, most.total_seconds(), on_outcome, on_failure, watch)
    except KeyboardInterrupt:
        raise Failure("The relay continues without you: `relay posts` shows the outcome.", INTERRUPTED) from None
    except Failure as failure:
        raise Failure(
            f"It is queued, do not send it again; but its outcome is unknown. {failure.reason}", failure.code
        ) from None
    return len(waiting)


def _line(outcome: Outcome) -> Text:
    where = f"line {outcome.draft.line}: " if outcome.draft.line else ""
    style = {Result.REJECTED: "red", Result.EXPIRED: "magenta"}.get(outcome.result, "green")
    link_or_reason = one_line(outcome.url or outcome.reason)
    return Text.assemble(where, (str(outcome.result), style), " ", link_or_reason)


class _Watch:
    """Tells what `--wait` waits for: on a terminal how long it has waited, and anywhere why the gate is closed."""

    def __init__(self, context: Context, spinner: Status, most: timedelta) -> None:
        self._context = context
        self._spinner = spinner
        self._most = most.total_seconds()
        self._started = self._next_look = time.monotonic()
        self._pauses: tuple[GatePause, ...] = ()

    def __call__(self, left: int) -> None:
        """Tell it while so many messages have no outcome yet."""
        now = time.monotonic()
        waited = f"{length(now - self._started)} of at most {length(self._most)}"
        self._spinner.update(f"Waiting for {count(left, 'message')}, {waited}")
        if now < self._next_look:
            return
        self._next_look = now + GATE_SECONDS
        before = {(each.cause, each.reason) for each in self._pauses}
        try:
            self._pauses = gate.read(self._context.stack).pauses
        except Failure as failure:
            if not failure.temporary:
                self._note(failure.reason)
                self._next_look = math.inf
            return
        for pause in self._pauses:
            if (pause.cause, pause.reason) not in before:
                until = f" {self._context.until(pause.until)}" if pause.until else ""
                self._note(f"The gate is closed{until}: {one_line(pause.words, 1000)}")

    def _note(self, text: str) -> None:
        self._context.notes.print(Text(text, "yellow"), soft_wrap=True)
