"""Questions to the operator. Without a terminal, the error names the option to use instead."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

import typer

from relay_cli.failure import FAILED, USAGE, Failure
from relay_cli.output import print_error
from relay_cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def at_a_terminal() -> bool:
    """Return whether somebody can answer: standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask(what: str) -> str:
    """Ask for a value and show what is typed.

    Raises:
        Failure: There was no answer.
    """
    try:
        return str(typer.prompt(printable(what), err=True)).strip()
    except typer.Abort:
        raise _unanswered(f"{what}: there was no answer. There is an option for it, too: see --help.") from None


def ask_secret(what: str) -> str:
    """Ask for a secret without showing it, or read a line from a pipe.

    Raises:
        Failure: There was no answer.
    """
    if not sys.stdin.isatty():
        try:
            secret = sys.stdin.readline().rstrip("\r\n")
        except UnicodeDecodeError:
            raise Failure(f"{what}: the input is not UTF-8 text.", USAGE) from None
        if not secret:
            raise Failure(f"{what}: the input is empty.", USAGE)
        return secret
    try:
        return str(typer.prompt(printable(what), hide_input=True, err=True)).strip()
    except typer.Abort:
        raise _unanswered(f"{what}: there was no answer.") from None


def confirm(question: str, declined: str, option: str = "") -> None:
    """Continue only if the operator says yes.

    Args:
        question: The question.
        declined: The result of a "no", such as ``Nothing was stored``.
        option: The option that skips the question, if there is one.

    Raises:
        Failure: The operator said no, or there was no answer.
    """
    try:
        confirmed = typer.confirm(printable(question), err=True)
    except typer.Abort:
        advice = f" Use {option} to skip the question." if option else ""
        raise _unanswered(f"{declined}: there was no answer.{advice}") from None
    if not confirmed:
        raise Failure(f"{declined}.", FAILED)


def choose(question: str, option: str, default: str, read: Callable[[str], T]) -> T:
    """Ask until the answer can be read; Enter gives the default. What is piped is not read: it may be a secret.

    Args:
        question: The question.
        option: The option that answers it, such as ``--region``.
        default: The answer that Enter gives.
        read: Reads an answer, or raises `typer.BadParameter`.

    Raises:
        Failure: Standard input is not a terminal.
    """
    if not at_a_terminal():
        raise Failure(f"{question}: there is nobody to ask. Use {option}.", USAGE)
    try:
        answer: T = typer.prompt(printable(question), default=default, value_proc=read, err=True)
    except typer.Abort:
        raise _unanswered(f"{question}: there was no answer.") from None
    return answer


def _unanswered(reason: str) -> Failure:
    """Return the failure; on a terminal, typer's abort means Ctrl-C."""
    if sys.stdin.isatty():
        raise KeyboardInterrupt
    print_error("")  # ends the line of the question
    return Failure(reason, FAILED)
