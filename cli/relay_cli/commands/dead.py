"""``relay dead``: look at Dead letters, send them again, drop them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.text import Text

from relay_cli.deployed import dead_letters
from relay_cli.failure import FAILED, USAGE, Failure, from_aws_error
from relay_cli.output import print_json
from relay_cli.prompts import confirm
from relay_cli.text import count, moment, one_line, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from relay_cli.context import Context
    from relay_cli.deployed.dead_letters import DeadLetter, DeadLetterBox

app = typer.Typer(no_args_is_help=True, help="Look at Dead letters, send them again, drop them.")

SHORT_ID = 8
"""How much of an id is shown: enough to name a letter among many."""

Ids = Annotated[list[str] | None, typer.Argument(help="Ids, or their beginnings, as `relay dead list` shows them.")]
All = Annotated[bool, typer.Option("--all", help="All letters.")]
Json = Annotated[bool, typer.Option("--json", help="For scripts.")]


@app.command("list")
def list_letters(ctx: typer.Context, *, as_json: Json = False) -> None:
    """List what could not be posted, with the reasons.

    To look, SQS makes the letters invisible to others for a moment; they are put back at once.

    [dim]relay dead list[/dim]
    """
    context: Context = ctx.obj
    with dead_letters.open_box(context.stack, _complain(context)) as box:
        letters = list(box.letters())
    if as_json:
        print_json(letters)
        return
    if not letters:
        context.console.print("There are no dead letters.")
        return
    for letter in letters:
        text = Text.assemble((letter.id[:SHORT_ID], "bold"), f"  first seen {moment(letter.first_seen)}")
        text.append(f", key {one_line(letter.key, 80)}\n    {one_line(letter.text)}\n    ")
        text.append(one_line(letter.reason, 1000), "yellow")
        context.console.print(text, soft_wrap=True)
    context.console.print(f"{count(len(letters), 'dead letter')}.", style="dim")


@app.command()
def show(
    ctx: typer.Context,
    letter_id: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    *,
    as_json: Json = False,
) -> None:
    """Show a letter: its whole original body, and all that is known of it.

    [dim]relay dead show 3f2a91c0[/dim]
    """
    context: Context = ctx.obj
    with dead_letters.open_box(context.stack, _complain(context)) as box:
        (letter,) = box.named([letter_id])
    if as_json:
        print_json(letter)
        return
    about = {
        "Id": letter.id,
        "Reason": letter.reason,
        "Key": letter.key,
        "First seen": moment(letter.first_seen),
        "Attempts": str(letter.attempts),
        "Status": str(letter.status_code or ""),
        **{f"Attribute {name}:": value for name, value in letter.attributes.items() if name not in _SHOWN},
    }
    for name, value in about.items():
        if value:
            context.console.print(Text(f"{name:<11} {one_line(value, 2000)}"), soft_wrap=True)
    context.console.print()
    context.console.print(Text(printable(letter.body)), soft_wrap=True)


_SHOWN = frozenset({"RejectReason", "RelayKey", "FirstSeen", "Attempts", "StatusCode"})


@app.command()
def retry(ctx: typer.Context, letter_ids: Ids = None, *, everything: All = False) -> None:
    """Send letters to the Outbox again, untouched and with their keys.

    With its key a letter stays the same post: one that was posted after all is not posted again, and before one that
    may have been posted, the stream is read.

    [dim]relay dead retry 3f2a91c0
    relay dead retry --all[/dim]
    """
    context: Context = ctx.obj

    def send(box: DeadLetterBox, letter: DeadLetter) -> None:
        box.retry(letter)
        words = f"Sent {letter.id[:SHORT_ID]} to the Outbox again, with its key {one_line(letter.key, 80)}."
        if letter.perhaps_posted:
            words += " An earlier attempt may have posted it: the relay looks on the account's stream first."
        context.console.print(Text(words), soft_wrap=True)

    with dead_letters.open_box(context.stack, _complain(context)) as box:
        _each(_chosen(box, letter_ids, everything=everything), lambda letter: send(box, letter), context)


@app.command()
def drop(
    ctx: typer.Context,
    letter_ids: Ids = None,
    *,
    everything: All = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete letters for good. It asks first.

    [dim]relay dead drop 3f2a91c0
    relay dead drop --all --yes[/dim]
    """
    context: Context = ctx.obj

    def delete(box: DeadLetterBox, letter: DeadLetter) -> None:
        box.drop(letter)
        context.console.print(f"Dropped {letter.id[:SHORT_ID]}.")

    with dead_letters.open_box(context.stack, _complain(context)) as box:
        letters = _chosen(box, letter_ids, everything=everything)
        if letters and not yes:
            for letter in letters:
                context.notes.print(Text(f"{letter.id[:SHORT_ID]}  {one_line(letter.text, 100)}"), soft_wrap=True)
            confirm(f"Delete {count(len(letters), 'letter')} for good?", "Nothing was deleted", "--yes")
        _each(letters, lambda letter: delete(box, letter), context)


def _chosen(box: DeadLetterBox, letter_ids: list[str] | None, *, everything: bool) -> list[DeadLetter]:
    """Return all that are meant before anything is done: what a retry brings back here would be met again."""
    if everything == bool(letter_ids):
        raise Failure("Name letters by their ids, or say --all for all of them.", USAGE)
    return list(box.letters()) if everything else box.named(letter_ids or [])


def _each(letters: Iterable[DeadLetter], act: Callable[[DeadLetter], None], context: Context) -> None:
    """Act on each letter; what fails for one is said, and is no reason to leave the others."""
    failed: list[Failure] = []
    number = 0
    for letter in letters:
        number += 1
        try:
            act(letter)
        except (ClientError, BotoCoreError) as error:
            failed.append(from_aws_error(error))
            _complain(context)(f"{letter.id[:SHORT_ID]} stays in Dead letters: {failed[-1].reason}")
        except Failure as failure:
            failed.append(failure)
            _complain(context)(failure.reason)
    if not number:
        context.console.print("There are no dead letters.")
    if failed:
        code = failed[0].code if len(failed) == number else FAILED
        raise Failure(f"{count(len(failed), 'letter')} of {number} not done.", code)


def _complain(context: Context) -> Callable[[str], None]:
    return lambda line: context.notes.print(Text(line, "yellow"), soft_wrap=True)
