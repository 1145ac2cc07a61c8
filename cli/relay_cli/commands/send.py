"""``relay send``: publish alerts, and follow them to their outcome."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from relay.posting.delivery import Result
from rich.progress import Progress
from rich.text import Text

from relay_cli import drafts
from relay_cli import unsent as unsent_lines
from relay_cli.deployed import gate as gate_state
from relay_cli.deployed import outbox
from relay_cli.deployed import outcomes as following
from relay_cli.durations import span
from relay_cli.failure import INTERRUPTED, FAILED, USAGE, Failure, from_aws_error
from relay_cli.text import at, count, length, moment, one_line

if TYPE_CHECKING:
    from relay_cli.context import Context
    from relay_cli.deployed.outbox import Sent
    from relay_cli.deployed.outcomes import Outcome
    from relay_cli.drafts import Chart, Draft, InvalidLine

LONGEST_WAIT = timedelta(minutes=15)
"""How long `--wait` waits, unless told otherwise."""

SHOWN_LINES = 10
"""How many wrong lines of a file are shown."""


class Sentiment(StrEnum):
    """The sentiments that StockTwits knows; a test compares them with `relay.posting.alert.Alert`."""

    BULLISH = "bullish"
    BEARISH = "bearish"
    NEUTRAL = "neutral"


def send(  # noqa: PLR0913  each is an option
    ctx: typer.Context,
    text: Annotated[str | None, typer.Argument(help="What to post.")] = None,
    *,
    sentiment: Annotated[Sentiment | None, typer.Option(help="The sentiment shown with the post.")] = None,
    reply_to: Annotated[int | None, typer.Option(help="The StockTwits id of the message to answer.")] = None,
    chart: Annotated[
        str | None, typer.Option(metavar="FILE|URL", help="An image: JPG, PNG or GIF under 2 MB, or an https:// link.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Of all messages with the same key, one is posted.")] = None,
    expires_in: Annotated[
        timedelta | None, typer.Option(parser=span, metavar="SPAN", help="Do not post it later than in 30m, 2h ...")
    ] = None,
    file: Annotated[
        str | None, typer.Option("--from", metavar="FILE.jsonl|-", help="Messages in JSON, one a line; - reads them.")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Send the readable lines of a file although others are not.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is posted or rejected, and show the link.")
    ] = False,
    wait_for: Annotated[
        timedelta | None, typer.Option(parser=span, metavar="SPAN", help="How long to wait at most; else 15m.")
    ] = None,
) -> None:
    """Publish an alert, or many from a file. The relay posts them at its pace.

    What could not be posted is refused here, by the relay's own rules, before anything is sent.
    With --wait, it ends with 0 when all are posted, and with 1 when one was rejected or the time ran out.

    Each command, and each line, is a post of its own, unless a key says that it is the same.
    What of a file could not be sent is kept in another one, in this folder: send that, not the whole again.

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
    }
    if (text is None) == (file is None):
        raise Failure('Say what to post: relay send "Up 3% $AAPL", or --from FILE.jsonl for many.', USAGE)
    image: Chart | None = None
    wrong: list[InvalidLine] = []
    if file is None:
        image = _chart(context, chart)
        chosen = [drafts.from_fields(text or "", fields | ({"chart": image.address} if image else {}))]
    elif any(value is not None for value in fields.values()):
        raise Failure("With --from, sentiment, chart, key and the like are fields of each line.", USAGE)
    else:
        chosen, wrong = _read(context, file, keep_going=keep_going)
    for warning in filter(None, (drafts.without_cashtag(chosen), _switched_off(context))):
        context.notes.print(Text(f"Note: {warning}", "yellow"), soft_wrap=True)
    if image:
        image.upload(context.stack)

    sent, trouble = _publish(context, chosen)
    there = {each.draft.relay_key for each in sent}
    unsent = [each for each in chosen if each.relay_key not in there]
    kept = unsent_lines.keep(file, unsent, wrong) if file and (unsent or wrong) else None
    if trouble:
        raise _stopped(trouble, unsent, kept)
    rejected, waiting = _follow(context, sent, wait_for or LONGEST_WAIT) if wait else (0, 0)
    said = {
        f"not sent: see {kept}" if kept else "not sent": len(unsent) + len(wrong),
        "rejected: see `relay dead list`": rejected,
        "not posted yet, the relay goes on: do not send it again, `relay posts` shows what becomes of it": waiting,
    }
    if any(said.values()):
        raise Failure("; ".join(f"{count(n, 'message')} {what}" for what, n in said.items() if n) + ".", FAILED)


def _stopped(trouble: Failure, unsent: list[Draft], kept: Path | None) -> Failure:
    """Say what to do about messages whose call failed as a whole, each of which may have been taken all the same."""
    if not unsent:
        words = "All was queued before; `relay posts` shows what becomes of it."
    elif kept:
        again = f"relay send --from {kept}"
        words = f"{count(len(unsent), 'message')} not sent for certain: send them by `{again}`, not the whole file."
    else:
        words = f"The message may be queued or not: send it with --key {unsent[0].key}, and it is posted once."
    return Failure(f"{trouble.reason}\n{words}", trouble.code)


def _switched_off(context: Context) -> str | None:
    if "PostMessagesFunctionName" in context.stack.outputs:
        return None
    return "posting is switched off in this stack: what is sent waits until it is on again, for 14 days at most."


def _in(after: timedelta | None) -> str | None:
    expires_at = at(time.time() + after.total_seconds()) if after else None
    return expires_at.isoformat(timespec="seconds") if expires_at else None


def _chart(context: Context, given: str | None) -> Chart | None:
    """Return a local chart that is to be uploaded; None when there is none, or an address."""
    if given is None or drafts.is_address(given):
        return None
    return drafts.chart(given, context.stack.parameters.get("ChartBucketName", ""))


def _read(context: Context, file: str, *, keep_going: bool) -> tuple[list[Draft], list[InvalidLine]]:
    """Read a file's messages, and say what is wrong with the lines that are none; return those too."""
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}.", USAGE) from None
    found, wrong = drafts.from_lines(content.split(b"\n"))
    for each in wrong[:SHOWN_LINES]:
        context.notes.print(Text(one_line(f"line {each.line}: {each.reason}"), "yellow"), soft_wrap=True)
    if len(wrong) > SHOWN_LINES:
        context.notes.print(f"... and {count(len(wrong) - SHOWN_LINES, 'line')} more", style="yellow")
    if wrong and not keep_going:
        raise Failure(
            f"Nothing was sent: {count(len(wrong), 'line')} cannot be. Mend, or send the others by --keep-going.", USAGE
        )
    if not found:
        raise Failure(f"There are no messages in {file}.", USAGE)
    return found, wrong


def _publish(context: Context, chosen: list[Draft]) -> tuple[list[Sent], Failure | None]:
    """Publish, and say what SQS did not take.

    Returns:
        What it took; and what stopped it before the end, when some of the rest may have been taken.

    Raises:
        ClientError: Nothing was taken at all.
    """
    sent: list[Sent] = []
    refused: list[tuple[Draft, str]] = []
    trouble: Failure | None = None
    try:
        with Progress(
            console=context.notes, transient=True, disable=len(chosen) == 1 or not context.notes.is_terminal
        ) as progress:
            bar = progress.add_task("Publishing", total=len(chosen))

            def taken(more: list[Sent]) -> None:
                sent.extend(more)
                progress.advance(bar, len(more))

            refused = outbox.publish(context.stack, chosen, taken)
    except (ClientError, BotoCoreError) as error:
        if not sent and outbox.nothing_taken(error):
            raise
        trouble = from_aws_error(error)
    except KeyboardInterrupt:
        trouble = Failure("Interrupted.", INTERRUPTED)
    for draft, code in refused:
        what = f"line {draft.line}" if draft.line else "the message"
        context.notes.print(Text(f"SQS did not take {what}: {code}", "yellow"), soft_wrap=True)
    if len(chosen) == 1 and sent:
        words = f"Queued as {sent[0].message_id}, with the key {one_line(sent[0].draft.key, 80)}."
        context.console.print(Text(words), soft_wrap=True)
    elif sent:
        context.console.print(f"Queued {count(len(sent), 'message')}.")
    return sent, trouble


def _follow(context: Context, sent: list[Sent], most: timedelta) -> tuple[int, int]:
    """Wait for the outcomes and show them; return how many were rejected, and how many are still waiting."""
    rejected = 0

    def ended(outcome: Outcome) -> None:
        nonlocal rejected
        rejected += outcome.result is Result.REJECTED
        where = f"line {outcome.draft.line}: " if outcome.draft.line else ""
        style = "red" if outcome.result is Result.REJECTED else "green"
        words = outcome.url or one_line(outcome.reason)
        context.console.print(Text.assemble(where, (str(outcome.result), style), " ", words), soft_wrap=True)

    def complain(line: str) -> None:
        context.notes.print(Text(line, "yellow"), soft_wrap=True)

    try:
        for shut in gate_state.read(context.stack).shut:
            until = f" until {moment(shut.until)}" if shut.until else ""
            context.notes.print(Text(f"The gate is shut{until}: {one_line(shut.reason)}", "yellow"), soft_wrap=True)
        with context.notes.status(f"Waiting, {length(most.total_seconds())} at most"):
            waiting = following.follow(context.stack, sent, most.total_seconds(), ended, complain)
    except KeyboardInterrupt:
        raise Failure("The relay goes on without you: `relay posts` shows what becomes of it.", INTERRUPTED) from None
    except (ClientError, BotoCoreError, Failure) as error:
        why = error if isinstance(error, Failure) else from_aws_error(error)
        raise Failure(
            f"It is queued, do not send it again; but it cannot be followed. {why.reason}", why.code
        ) from None
    return rejected, len(waiting)
