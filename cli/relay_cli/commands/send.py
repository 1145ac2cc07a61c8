"""``relay send``: publish alerts, and wait for their outcomes."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from relay.client import may_be_queued
from relay.posting.outcome import Result
from rich.progress import Progress
from rich.text import Text

from relay_cli import drafts, unsent
from relay_cli.deployed import gate, outbox, outcomes
from relay_cli.durations import coming, span
from relay_cli.failure import FAILED, INTERRUPTED, USAGE, Failure, from_aws_error
from relay_cli.files import read_input
from relay_cli.text import at, count, length, moment, one_line

if TYPE_CHECKING:
    from pathlib import Path

    from relay_cli.context import Context
    from relay_cli.deployed.outbox import Sent
    from relay_cli.deployed.outcomes import Outcome
    from relay_cli.drafts import Chart, Draft, InvalidLine

LONGEST_WAIT = timedelta(minutes=15)
"""How long `--wait` waits by default."""

SHOWN_LINES = 10
"""How many invalid lines of a file are shown."""


class Sentiment(StrEnum):
    """The sentiments that StockTwits knows; a test compares them with `relay.posting.alert.Alert`."""

    BULLISH = "bullish"
    BEARISH = "bearish"
    NEUTRAL = "neutral"


class Priority(StrEnum):
    """The priorities of a message; a test compares them with `relay.posting.alert.Alert`."""

    HIGH = "high"
    NORMAL = "normal"


def send(  # noqa: PLR0913  each is an option
    ctx: typer.Context,
    text: Annotated[str | None, typer.Argument(help="What to post.")] = None,
    *,
    sentiment: Annotated[Sentiment | None, typer.Option(help="The sentiment shown with the post.")] = None,
    reply_to: Annotated[int | None, typer.Option(help="The StockTwits id of the message to reply to.")] = None,
    chart: Annotated[
        str | None, typer.Option(metavar="FILE|URL", help="An image: JPG, PNG or GIF under 2 MB, or an https:// link.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="An idempotency key: of all messages with the same key, one is posted.")
    ] = None,
    expires_in: Annotated[
        timedelta | None, typer.Option(parser=span, metavar="SPAN", help="Do not post it after this time: 30m, 2h ...")
    ] = None,
    not_before: Annotated[
        datetime | None,
        typer.Option(
            parser=coming, metavar="TIME|'in SPAN'", help="Do not post it before: 2026-11-21T16:00:00Z, 'in 2h' ..."
        ),
    ] = None,
    priority: Annotated[
        Priority | None, typer.Option(help="high goes before others among what waits, as far as SQS allows.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--from", metavar="FILE.jsonl|-", help="Messages in JSON, one per line; - for standard input."),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Send the valid lines of a file even if others are invalid.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is posted, rejected or expired, and show the link.")
    ] = False,
    wait_for: Annotated[
        timedelta | None, typer.Option(parser=span, metavar="SPAN", help="The maximum time to wait; 15m by default.")
    ] = None,
) -> None:
    """Publish one alert, or many from a file. The relay posts them at its pace.

    Messages that cannot be posted are refused before anything is sent, by the relay's own rules.
    With --wait, the exit code is 0 if all messages were posted, and 1 if one was rejected, one expired or
    the time ran out.

    Each command and each line of a file is a separate post, unless it has a key that was used before.
    Lines that could not be sent are written to another file in the current folder: send that one, not the whole file.

    [dim]relay send 'Up 3% on twice the usual volume $AAPL' --wait
    relay send 'Breakout $NVDA' --sentiment bullish --chart chart.png --key NVDA-2026-11-20 --expires-in 30m
    relay send --from alerts.jsonl[/dim]
    """
    context: Context = ctx.obj
    fields = {
        "sentiment": sentiment.value if sentiment else None,
        "in_reply_to_message_id": reply_to,
        "chart": chart,
        "key": key,
        "expires_at": _in(expires_in),
        "not_before": not_before.isoformat() if not_before else None,
        "priority": priority.value if priority else None,
    }
    if (text is None) == (file is None):
        raise Failure('Give the text to post: relay send "Up 3% $AAPL", or --from FILE.jsonl for many.', USAGE)
    image: Chart | None = None
    invalid: list[InvalidLine] = []
    if file is None:
        image = _chart(context, chart)
        chosen = [drafts.from_fields(text or "", fields | ({"chart": image.address} if image else {}))]
    elif any(value is not None for value in fields.values()):
        raise Failure("With --from, sentiment, chart, key and the other options are fields of each line.", USAGE)
    else:
        chosen, invalid = _read(context, file, keep_going=keep_going)
    for warning in filter(None, (drafts.without_cashtag(chosen), _switched_off(context))):
        context.notes.print(Text(f"Note: {warning}", "yellow"), soft_wrap=True)
    if image:
        outbox.upload(context.stack, image)

    sent, failure = _publish(context, chosen)
    accepted = {each.draft for each in sent}
    left = [each for each in chosen if each not in accepted]
    kept = unsent.keep(file, left, invalid) if file and (left or invalid) else None
    if failure:
        raise _incomplete(failure, left, kept)
    ended, waiting = _follow(context, sent, wait_for or LONGEST_WAIT) if wait else (Counter[Result](), 0)
    problems = {
        f"not sent: see {kept}" if kept else "not sent": len(left) + len(invalid),
        "rejected: see `relay dead list`": ended[Result.REJECTED],
        "expired before it was posted": ended[Result.EXPIRED],
        "not posted yet, but still queued: do not send it again, `relay posts` shows the outcome": waiting,
    }
    if any(problems.values()):
        raise Failure("; ".join(f"{count(n, 'message')} {what}" for what, n in problems.items() if n) + ".", FAILED)


def _incomplete(failure: Failure, left: list[Draft], kept: Path | None) -> Failure:
    """Add what to do about messages whose request failed as a whole; SQS may have accepted them nevertheless."""
    if not left:
        advice = "All messages were queued before that; `relay posts` shows their outcomes."
    elif kept:
        command = f"relay send --from {kept}"
        advice = f"{count(len(left), 'message')} may not have been sent: run `{command}`, do not send the whole file."
    else:
        advice = f"The message may or may not be queued: send it with --key {left[0].key}, and it is posted once."
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


def _publish(context: Context, chosen: list[Draft]) -> tuple[list[Sent], Failure | None]:
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
    if len(chosen) == 1 and sent:
        text = f"Queued as {sent[0].message_id}, with the key {one_line(sent[0].draft.key, 80)}."
        context.console.print(Text(text), soft_wrap=True)
    elif sent:
        context.console.print(f"Queued {count(len(sent), 'message')}.")
    return sent, failure


def _follow(context: Context, sent: list[Sent], most: timedelta) -> tuple[Counter[Result], int]:
    """Wait for the outcomes and print them; return how many there are of each, and how many messages have none yet."""
    ended: Counter[Result] = Counter()

    def on_outcome(outcome: Outcome) -> None:
        ended[outcome.result] += 1
        where = f"line {outcome.draft.line}: " if outcome.draft.line else ""
        style = {Result.REJECTED: "red", Result.EXPIRED: "magenta"}.get(outcome.result, "green")
        link_or_reason = one_line(outcome.url or outcome.reason)
        context.console.print(Text.assemble(where, (str(outcome.result), style), " ", link_or_reason), soft_wrap=True)

    def on_failure(line: str) -> None:
        context.notes.print(Text(one_line(line), "yellow"), soft_wrap=True)

    try:
        for pause in gate.read(context.stack).pauses:
            until = f" until {moment(pause.until)}" if pause.until else ""
            words = one_line(pause.words, 1000)
            context.notes.print(Text(f"The gate is closed{until}: {words}", "yellow"), soft_wrap=True)
        with context.notes.status(f"Waiting for up to {length(most.total_seconds())}"):
            waiting = outcomes.follow(context.stack, sent, most.total_seconds(), on_outcome, on_failure)
    except KeyboardInterrupt:
        raise Failure("The relay continues without you: `relay posts` shows the outcome.", INTERRUPTED) from None
    except (ClientError, BotoCoreError, Failure) as error:
        cause = error if isinstance(error, Failure) else from_aws_error(error)
        raise Failure(
            f"It is queued, do not send it again; but its outcome is unknown. {cause.reason}", cause.code
        ) from None
    return ended, len(waiting)
