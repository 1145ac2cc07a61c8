"""What a person is asked. Where nobody can answer, that is said, and how to do without."""

from __future__ import annotations

import sys

import typer

from relay_cli.failure import FAILED, USAGE, Failure
from relay_cli.output import complain
from relay_cli.text import printable


def ask(what: str) -> str:
    """Ask for something that may be seen.

    Raises:
        Failure: Nobody answered.
    """
    try:
        return str(typer.prompt(printable(what), err=True)).strip()
    except typer.Abort:
        raise _unanswered(f"{what}: nobody answered. It is an option, too: see --help.") from None


def ask_secret(what: str) -> str:
    """Ask for a secret without showing it; from a pipe, read a line.

    Raises:
        Failure: Nobody answered.
    """
    if not sys.stdin.isatty():
        try:
            secret = sys.stdin.readline().rstrip("\r\n")
        except UnicodeDecodeError:
            raise Failure(f"{what}: what came from the pipe is not text in UTF-8.", USAGE) from None
        if not secret:
            raise Failure(f"{what}: nothing came from the pipe.", USAGE)
        return secret
    try:
        return str(typer.prompt(printable(what), hide_input=True, err=True)).strip()
    except typer.Abort:
        raise _unanswered(f"{what}: nobody answered.") from None


def confirm(question: str, otherwise: str, unasked: str) -> None:
    """Go on only if the operator says yes.

    Args:
        question: What to agree to.
        otherwise: What is so if the operator does not, such as ``Nothing was stored``.
        unasked: The option that does without the question.

    Raises:
        Failure: The operator does not, or nobody answered.
    """
    try:
        agreed = typer.confirm(printable(question), err=True)
    except typer.Abort:
        raise _unanswered(f"{otherwise}: nobody answered. Where nobody can, say {unasked}.") from None
    if not agreed:
        raise Failure(f"{otherwise}.", FAILED)


def _unanswered(reason: str) -> Failure:
    """Take Ctrl-C in front of a question for what it is."""
    if sys.stdin.isatty():
        raise KeyboardInterrupt
    complain("")  # the question has no end of line yet
    return Failure(reason, FAILED)
