"""What the stack is to be deployed with: questions to the operator, and where their answers may be already."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

from relay_cli.failure import USAGE, Failure
from relay_cli.prompts import choose
from relay_cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay_cli.clone import Clone
    from relay_cli.deployed.stack import Stack

MAIL = re.compile(r"[^@\s,\"'\\=]+@[^@\s,\"'\\=]+")
"""What the template's AlarmEmail allows, without what would need quotes in samconfig.toml."""

LIMITS = {"MaxPostsPerHour": (1, 3600), "PostBurst": (1, 100), "MaxPostsPerDay": (0, 10_000)}
"""The template's bounds; a test compares them."""

CAUTIOUS = {"MaxPostsPerHour": "6", "PostBurst": "2", "MaxPostsPerDay": "40"}
"""The pace that is suggested: posts cannot be deleted, and accounts that flood are suspended."""


class Login(StrEnum):
    """How to get the token of the StockTwits account."""

    TOKEN = "token"  # noqa: S105  # nosec B105  # not one itself
    APPLICATION = "application"
    LATER = "later"


@dataclass(frozen=True)
class Question:
    """A question to the operator, the option that answers it, what Enter answers, and what reads an answer."""

    text: str
    option: str
    default: str
    read: Callable[[str], str]

    def ask(self) -> str:
        """Ask it."""
        return choose(self.text, self.option, self.default, self.read)


class Answers:
    """The parameters of the template: each from its option, else samconfig.toml, else the stack, else the operator."""

    def __init__(self, clone: Clone, stack: Stack | None) -> None:
        """Begin without answers; `stack` is None if nothing is deployed."""
        self._clone = clone
        self._stack = stack
        self.values: dict[str, str] = {}

    def known(self, name: str) -> str | None:
        """Return what samconfig.toml has for a parameter, else the stack; None if neither has it."""
        found = self._clone.parameter(name)
        return self._stack.parameters.get(name) if found is None and self._stack else found

    def take(self, name: str, given: str | None, question: Question, unasked: str | None = None) -> str:
        """Set a parameter; return it. With `unasked`, that is the answer and the question is left out."""
        found = given if given is not None else self.known(name)
        found = unasked if found is None else found
        try:
            value = question.ask() if found is None else question.read(found)
        except typer.BadParameter as error:
            raise Failure(f"{name} cannot be {one_line(str(found), 80)}: {error.message}", USAGE) from None
        self.values[name] = value
        return value

    def take_switch(
        self,
        name: str,
        given: bool | None,  # noqa: FBT001  an option's value
        question: Question,
        unasked: str | None = None,
    ) -> bool:
        """Set a parameter that is true or false; return it."""
        return self.take(name, None if given is None else str(given).lower(), question, unasked) == "true"

    def take_number(self, name: str, given: int | None, text: str, option: str) -> None:
        """Set a parameter of the pace."""
        least, most = LIMITS[name]

        def read(answer: str) -> str:
            if not answer.isdecimal() or not least <= int(answer) <= most:
                raise typer.BadParameter(f"It must be a number from {least} to {most}.")
            return str(int(answer))

        self.take(name, None if given is None else str(given), Question(text, option, CAUTIOUS[name], read))

    def is_on(self, name: str) -> bool:
        """Return a parameter that is true or false."""
        return self.values[name] == "true"


def _switch(text: str) -> str:
    answers = {"y": "true", "yes": "true", "true": "true", "n": "false", "no": "false", "false": "false"}
    try:
        return answers[text.strip().lower()]
    except KeyError:
        raise typer.BadParameter("Answer y or n.") from None


def read_login(text: str) -> Login:
    """Read the answer to how to log in; raises `typer.BadParameter`."""
    try:
        return Login(text.strip().lower())
    except ValueError:
        raise typer.BadParameter("Answer token, application or later.") from None


def _mail(text: str) -> str:
    text = unless("none")(text)
    if text and not MAIL.fullmatch(text):
        raise typer.BadParameter("It must be an address such as you@example.com.")
    return text


def unless(word: str) -> Callable[[str], str]:
    """Return what reads an answer, and the word as none."""
    return lambda text: "" if text.strip() == word else text.strip()


POSTING = Question("Post alerts to StockTwits?", "--posting or --no-posting", "y", _switch)
BACKUPS = Question("Copy Firestream's backups every night?", "--backups or --no-backups", "n", _switch)
WEBHOOK = Question(
    "Take alerts from programs without AWS credentials, such as TradingView?", "--webhook or --no-webhook", "n", _switch
)
ALARMS = Question("Mail alarms to (none for nobody)", "--alarm-email", "none", _mail)
