"""``relay dead``: list, retry, edit and drop dead letters."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from relay.errors import Reject
from rich.text import Text

from relay_cli import drafts, editor
from relay_cli.commands.options import Json, Limit  # noqa: TC001  typer reads it
from relay_cli.deployed import dead_letters
from relay_cli.deployed.dead_letters import SHORT_ID
from relay_cli.failure import FAILED, USAGE, Failure, from_aws_error
from relay_cli.output import print_json
from relay_cli.prompts import confirm
from relay_cli.text import count, one_line, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from relay_cli.context import Context
    from relay_cli.deployed.dead_letters import DeadLetter, DeadLetterBox
    from relay_cli.drafts import Draft

app = typer.Typer(no_args_is_help=True, help="List, retry, edit and drop dead letters.")

MANY = 10
"""More letters than this are only sent again after a confirmation: at the usual pace, they take an hour."""

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Ids or prefixes of ids, as `relay dead list` shows them.")
]
All = Annotated[bool, typer.Option("--all", help="All dead letters.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


@app.command("list")
def list_letters(ctx: typer.Context, *, limit: Limit = None, as_json: Json = False) -> None:
    """List the messages that could not be posted, with the reasons.

    Listing hides the letters from other consumers for a moment; then they are visible again.

    [dim]relay dead list[/dim]
    """
    context: Context = ctx.obj
    with dead_letters.open_box(context.stack, _print_warning(context)) as box:
        letters = list(islice(box.letters(), limit))
    if as_json:
        print_json(letters)
        return
    if not letters:
        context.console.print("There are no dead letters.")
        return
    for letter in letters:
        text = Text.assemble((letter.id[:SHORT_ID], "bold"), f"  first seen {context.moment(letter.first_seen)}")
        text.append(f", key {one_line(letter.key, 80)}\n    {one_line(letter.text)}\n    ")
        text.append(one_line(letter.reason, 1000), "yellow")
        context.console.print(text, soft_wrap=True)
    shown = f"{count(len(letters), 'dead letter')}{' shown; there may be more' if len(letters) == limit else ''}."
    context.console.print(shown, style="dim")


@app.command()
def show(
    ctx: typer.Context,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, or a prefix of it.")],
    *,
    as_json: Json = False,
) -> None:
    """Show a letter: its original body, its reason and its attributes.

    [dim]relay dead show 3f2a91c0[/dim]
    """
    context: Context = ctx.obj
    with dead_letters.open_box(context.stack, _print_warning(context)) as box:
        (letter,) = box.find([letter_id])
    if as_json:
        print_json(letter)
        return
    about = {
        "Id": letter.id,
        "Reason": letter.reason,
        "Key": letter.key,
        "First seen": context.moment(letter.first_seen),
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
def retry(
    ctx: typer.Context, letter_ids: Ids = None, *, everything: All = False, yes: Yes = False, as_json: Json = False
) -> None:
    """Send letters to the Outbox again, unchanged and with their keys; more than ten after a confirmation.

    The key makes a letter the same post: a message that was posted after all is not posted again. If an earlier attempt
    may have posted it, the relay reads the account's stream first. A letter of which an edit was sent is left where it
    is: it would be another post.

    [dim]relay dead retry 3f2a91c0
    relay dead retry --all[/dim]
    """
    context: Context = ctx.obj

    def send(box: DeadLetterBox, letter: DeadLetter) -> str:
        key = box.retry(letter, letters)
        text = f"Sent {letter.id[:SHORT_ID]} to the Outbox again, with its key {one_line(key, 80)}."
        if letter.perhaps_posted:
            text += " An earlier attempt may have posted it: the relay checks the account's stream first."
        return text

    with dead_letters.open_box(context.stack, _print_warning(context)) as box:
        letters = _chosen(box, letter_ids, everything=everything)
        if len(letters) > MANY and not yes:
            confirm(f"Send {count(len(letters), 'letter')} to the Outbox again?", "Nothing was sent", "--yes")
        _each(letters, lambda letter: send(box, letter), context, as_json=as_json)


@app.command()
def edit(
    ctx: typer.Context,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, or a prefix of it.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether it is posted already.")] = False,
    as_json: Json = False,
) -> None:
    """Correct a letter in your editor ($VISUAL or $EDITOR), and send it as a new message in its place.

    The new message has a new key. If an earlier attempt may have posted the letter, or a message with its key is posted
    or waits, the command asks first: under a new key, the relay does not look for the old post. Of several edits of one
    letter, at most one is posted. If it cannot be sent, what you typed is printed.

    [dim]relay dead edit 3f2a91c0
    EDITOR='code --wait' relay dead edit 3f2a91c0[/dim]
    """
    context: Context = ctx.obj
    with dead_letters.open_box(context.stack, _print_warning(context)) as box:
        (letter,) = box.find([letter_id])
        doubt = box.doubt(letter)
    if not yes and (doubt or not letter.surely_not_posted):
        context.notes.print(Text(f"{one_line(letter.text)}\n    {one_line(letter.reason, 1000)}"), soft_wrap=True)
        question = "An earlier attempt may have posted it, and under a new key it is posted again. Is it not there?"
        confirm(_question(doubt) if doubt else question, "Nothing was sent", "--yes")
    with _printed_on_failure(context, _Typed(letter.editable.rstrip("\r\n"))) as typed:
        edited = _edit(letter, typed, context)
        if warning := drafts.without_cashtag([edited]):
            _print_warning(context)(warning)
        _replace(letter, edited, context, agreed=None if yes else {"", doubt})
    if as_json:
        print_json({"key": edited.key, "replaces_key": letter.key, "text": edited.alert.body})
    else:
        text = f"Sent as a new message with the key {one_line(edited.key, 80)}, in place of {letter.id[:SHORT_ID]}."
        context.console.print(Text(text), soft_wrap=True)


def _replace(letter: DeadLetter, edited: Draft, context: Context, *, agreed: set[str] | None) -> None:
    """Send an edit in a letter's place; ask about each doubt that the operator did not agree to (None: to all).

    An editor or a question may be open for longer than a letter stays hidden, and another operator may have acted
    meanwhile: so each time, the letter and the ledger are read anew.
    """
    while True:
        with dead_letters.open_box(context.stack, _print_warning(context)) as box:
            (found,) = box.find([letter.id])
            doubt = box.doubt(found)
            if agreed is None or doubt in agreed:
                for other in box.same_key(found):
                    short = other[:SHORT_ID]
                    warning = f"{short} has the same key. If it is the same alert, do not retry it: drop it."
                    _print_warning(context)(warning)
                box.replace(found, edited)
                return
        confirm(_question(doubt), "Nothing was sent", "--yes")
        agreed.add(doubt)


def _question(doubt: str) -> str:
    return f"{doubt} Under a new key, the alert may be posted a second time. Edit and send it all the same?"


@dataclass
class _Typed:
    """The text of a letter as the operator has edited it so far."""

    text: str


@contextmanager
def _printed_on_failure(context: Context, typed: _Typed) -> Iterator[_Typed]:
    """Print what the operator typed if it was not sent for certain, so that it is not lost."""
    before = typed.text
    try:
        yield typed
    except BaseException:
        if typed.text.strip() and typed.text != before:
            context.notes.print(Text(f"The edited text:\n\n{printable(typed.text)}\n"), soft_wrap=True)
        raise


def _edit(letter: DeadLetter, typed: _Typed, context: Context) -> Draft:
    """Let the operator edit a letter until the relay accepts it."""
    before = typed.text
    suffix = ".json" if before.lstrip().startswith("{") else ".txt"
    while True:
        try:
            typed.text = editor.edit(f"{typed.text}\n", suffix).rstrip("\r\n")
        except editor.EditorFailure as failure:
            typed.text = failure.text.rstrip("\r\n")
            raise
        if typed.text == before:
            raise Failure(
                f"Nothing was changed, and nothing was sent: `relay dead retry {letter.id[:SHORT_ID]}` sends it as it "
                "is, with its key.",
                FAILED,
            )
        try:
            return dead_letters.replacement(letter, typed.text)
        except Reject as error:
            _print_warning(context)(f"It cannot be posted: {one_line(error.reason, 1000)}.")
        confirm("Edit it again?", "Nothing was sent")


@app.command()
def drop(
    ctx: typer.Context,
    letter_ids: Ids = None,
    *,
    everything: All = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete letters permanently, after a confirmation.

    [dim]relay dead drop 3f2a91c0
    relay dead drop --all --yes[/dim]
    """
    context: Context = ctx.obj

    def delete(box: DeadLetterBox, letter: DeadLetter) -> str:
        box.drop(letter)
        return f"Dropped {letter.id[:SHORT_ID]}."

    with dead_letters.open_box(context.stack, _print_warning(context)) as box:
        letters = _chosen(box, letter_ids, everything=everything)
        if letters and not yes:
            for letter in letters:
                context.notes.print(Text(f"{letter.id[:SHORT_ID]}  {one_line(letter.text, 100)}"), soft_wrap=True)
            confirm(f"Delete {count(len(letters), 'letter')} permanently?", "Nothing was deleted", "--yes")
        _each(letters, lambda letter: delete(box, letter), context, as_json=as_json)


def _chosen(box: DeadLetterBox, letter_ids: list[str] | None, *, everything: bool) -> list[DeadLetter]:
    """Return the chosen letters before acting on any: a retried letter could return to Dead letters meanwhile."""
    if everything == bool(letter_ids):
        raise Failure("Give the ids of letters, or --all for all of them.", USAGE)
    return list(box.letters()) if everything else box.find(letter_ids or [])


@dataclass(frozen=True, slots=True)
class Acted:
    """A letter that was to be retried or dropped.

    Attributes:
        id: Its id.
        key: Its idempotency key.
        reason: Why that failed; empty if it did not.
    """

    id: str
    key: str
    reason: str


def _each(letters: Sequence[DeadLetter], act: Callable[[DeadLetter], str], context: Context, *, as_json: bool) -> None:
    """Act on each letter, and print what that says; report a failure, and continue with the others."""
    failed: list[Failure] = []
    acted: list[Acted] = []
    for letter in letters:
        before = len(failed)
        try:
            text = act(letter)
            if not as_json:
                context.console.print(Text(text), soft_wrap=True)
        except (ClientError, BotoCoreError) as error:
            failed.append(from_aws_error(error))
            _print_warning(context)(f"{letter.id[:SHORT_ID]} stays in Dead letters: {failed[-1].reason}")
        except Failure as failure:
            failed.append(failure)
            _print_warning(context)(failure.reason)
        acted.append(Acted(letter.id, letter.key, failed[-1].reason if len(failed) > before else ""))
    if as_json:
        print_json(acted)
    elif not letters:
        context.console.print("There are no dead letters.")
    if failed:
        code = failed[0].code if len(failed) == len(letters) else FAILED
        raise Failure(f"{count(len(failed), 'letter')} of {len(letters)} failed.", code)


def _print_warning(context: Context) -> Callable[[str], None]:
    return lambda line: context.notes.print(Text(line, "yellow"), soft_wrap=True)
