"""What holds for every command of `relay`: global options, aliases, help texts."""

import inspect
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

import pytest
import typer
from relay import __version__
from relay_cli.app import app, main, options
from relay_cli.deployed import stack as stacks

from tests.worlds.cli import DONE, NO_STACK, USAGE, CliHarness


def commands(group: Any, *path: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)


COMMANDS = sorted(commands(typer.main.get_command(app)))
GROUPS = {each[:-1] for each in COMMANDS} - {("login",)}
IDS = [" ".join(each) for each in COMMANDS]


def named(*command: str) -> Any:
    """The command of typer with this name."""
    found: Any = typer.main.get_command(app)
    for each in command:
        found = found.commands[each]
    return found


def parameters(*command: str) -> list[Any]:
    return [each for each in named(*command).params if not each.hidden]


WITHOUT_RESULT = {("cat",), ("dashboard",)}
"""Commands that print the lines of a backup as they are, or serve a page."""


def help_of(monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["relay", *words])
    with redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return out.getvalue()


@pytest.mark.parametrize("command", COMMANDS, ids=IDS)
def test_the_help_of_every_command_has_the_global_options_and_names_each_value_instead_of_its_type(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = help_of(monkeypatch, *command, "--help")
    assert [each for each in ("--stack-name", "--region", "--profile", "--no-color", "--utc") if each not in text] == []
    assert re.findall(r"<[a-z][^>|\n]*>", text) == []  # choices are shown, as in <csv|jsonl>
    assert re.findall(r"│.*<[a-z][^>\n]*\n", text) == []
    names = [each.metavar or each.name for each in parameters(*command) if each.param_type_name == "argument"]
    assert [each for each in names if not each.isupper()] == []


@pytest.mark.parametrize("command", [(), *COMMANDS], ids=["relay", *IDS])
def test_each_word_of_a_help_text_is_shown_whole(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    shown = set(help_of(monkeypatch, *command, "--help").replace("│", " ").split())
    found = named(*command)
    function = found.callback if command else options
    texts = [inspect.getdoc(function) if function else found.help, *(each.help or "" for each in parameters(*command))]
    words = re.sub(r"\[/?dim\]", "", " ".join(texts)).split()
    assert [each for each in words if each not in shown or r"\[" in each] == []


@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in WITHOUT_RESULT and each not in GROUPS])
def test_every_command_with_a_result_prints_json(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--json" in help_of(monkeypatch, *command, "--help")


@pytest.mark.parametrize("words", [[], ["send"], ["dead", "retry"]])
def test_help_before_a_command_is_its_help(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert help_of(monkeypatch, "help", *words) == help_of(monkeypatch, *words, "--help")


def test_a_group_has_help_and_ls_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert help_of(monkeypatch, "dead", "help", "retry") == help_of(monkeypatch, "dead", "retry", "--help")
    assert "List the messages" in help_of(monkeypatch, "dead", "ls", "--help")
    assert "List the sources" in help_of(monkeypatch, "webhook", "ls", "--help")


def test_the_version_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert help_of(monkeypatch, "--version") == f"relay {__version__}\n"


def test_help_on_what_is_no_command_is_a_usage_error(cli: CliHarness) -> None:
    result = cli("help", "sned")
    assert (result.code, "Did you mean 'send'" in result.err) == (USAGE, True)


@pytest.mark.parametrize(
    "words",
    [
        ["--stack-name", "mine", "--region", "r", "--profile", "p", "dead", "list"],
        ["dead", "--stack-name", "mine", "--region", "r", "--profile", "p", "list"],
        ["dead", "list", "--stack-name", "mine", "--region", "r", "--profile", "p"],
        ["--stack-name", "other", "--region", "r", "dead", "--profile", "p", "list", "--stack-name=mine"],
    ],
)
def test_global_options_are_the_same_before_and_after_a_command_and_the_last_one_counts(
    cli: CliHarness, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    asked: list[object] = []
    open_session, find = stacks.open_session, stacks.find
    monkeypatch.setattr(stacks, "open_session", lambda *given: asked.extend(given) or open_session(*given))
    monkeypatch.setattr(stacks, "find", lambda session, name: asked.append(name) or find(session, None))
    monkeypatch.setenv("RELAY_STACK", "environment")
    assert cli(*words).code == DONE
    assert asked == ["r", "p", "mine"]


def test_a_stack_of_the_environment_does_not_replace_one_that_was_named(cli: CliHarness) -> None:
    cli.plan("DescribeStacks", "ValidationError")
    cli.patch.setenv("RELAY_STACK", "environment")
    result = cli("--stack-name", "mine", "status")
    assert (result.code, "mine" in result.err) == (NO_STACK, True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["send", "x $A", "--expires-in", "soon"], "soon is not a duration"),
        (["send", "x $A", "--not-before", "soon"], "soon is not a moment"),
        (["send", "x $A", "--wait-for", "soon"], "soon is not a duration"),
        (["send", "x $A", "--sentiment", "up"], "'up' is not one of 'bullish', 'bearish', 'neutral'."),
        (["pause", "--for", "soon"], "soon is not a duration"),
        (["posts", "--since", "soon"], "soon is not a duration"),
        (["posts", "--limit", "many"], "must be a whole number\n"),
        (["posts", "--limit", "0"], "must be greater than or equal to 1\n"),
        (["posts", "--outcome", "lost"], "'lost' is not one of 'posted', "),
        (["webhook", "add", "s", "--expires-in", "soon"], "soon is not a duration"),
    ],
)
def test_a_value_that_cannot_be_read_is_refused_by_the_name_of_its_option(
    cli: CliHarness, words: list[str], why: str
) -> None:
    result = cli(*words)
    assert result.code == USAGE
    assert result.err.startswith(f"relay: Invalid value for '{words[-2]}': {why}")


@pytest.mark.parametrize("words", [["--no-color", "dead", "list"], ["dead", "list", "--no-color"]])
def test_no_color_has_the_effect_of_the_variable(cli: CliHarness, words: list[str]) -> None:
    cli.add_dead_letter()
    cli.patch.setenv("FORCE_COLOR", "1")
    cli.patch.setenv("TERM", "xterm-256color")
    assert "\x1b[33m" in cli("dead", "list").out  # yellow
    assert "\x1b[33m" not in cli(*words).out
    assert os.environ["NO_COLOR"] == "1"


def test_the_help_names_the_places_of_the_region_in_the_order_in_which_they_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = " ".join(re.sub(r"[│\s]+", " ", help_of(monkeypatch, "status", "--help")).split())
    places = "AWS_DEFAULT_REGION, that of samconfig.toml unless you choose a profile, or your profile's."
    assert re.search(rf"The AWS region; by default, {places} .*AWS_REGION", text)
