"""All that `relay` writes: whatever the text, it steers no terminal; and nothing is written past the one place."""

import ast
import gzip
import io
import json
import logging
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import pytest
import relay_cli
from hypothesis import given
from hypothesis import strategies as st
from relay_cli.commands.cat import Columns
from relay_cli.output import LogHandler, SafeConsole, ascii_json, print_error, print_json
from relay_cli.text import length, one_line, printable, read_moment, read_number
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

CONTROL = [
    character
    for character in map(chr, range(0x110000))
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and character not in "\n\t"
]
_OBEYED = frozenset(CONTROL) | {"\t"}
MODULES = sorted(Path(relay_cli.__file__).parent.rglob("*.py"))
texts = st.text(st.one_of(st.sampled_from(CONTROL), st.sampled_from("\n\t[]/\\:"), st.characters()))


def control_characters(text: str) -> frozenset[str]:
    return _OBEYED.intersection(text)


def shown(show: Callable[[SafeConsole], None]) -> str:
    """What a console writes on a terminal that has no colours."""
    with redirect_stdout(io.StringIO()) as out:
        show(SafeConsole())
    return out.getvalue()


def test_a_terminal_breaks_lines_between_words_and_never_a_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    link = "https://stocktwits.com/relay_demo/message/1"
    text = f"  posted a moment ago {link} and more"
    assert shown(lambda console: console.print(text, soft_wrap=True)) == f"{text}\n"
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    lines = shown(lambda console: console.print(text, soft_wrap=True)).split("\n")
    assert [each.rstrip() for each in lines] == ["  posted a moment", "  ago", f"  {link}", "  and more", ""]


@given(texts)
def test_a_console_shows_any_text_without_what_steers_a_terminal(text: str) -> None:
    table = Table.grid()
    table.add_row(Text(text), text)

    def show(console: SafeConsole) -> None:
        console.print(text)
        console.print(text, soft_wrap=True)
        console.print(Text(text), table, Panel(text, title=escape(text)))

    assert control_characters(shown(show)) == set()


@given(texts)
def test_an_error_and_a_log_line_contain_nothing_that_steers_a_terminal(text: str) -> None:
    with redirect_stderr(io.StringIO()) as err:
        print_error(text)
        LogHandler().handle(logging.LogRecord("urllib3", logging.WARNING, "", 0, text.replace("%", "%%"), (), None))
    assert control_characters(err.getvalue()) == set()


@given(texts)
def test_json_for_scripts_is_ascii_with_the_same_values(text: str) -> None:
    with redirect_stdout(io.StringIO()) as out:
        print_json({text: [text, datetime(2026, 11, 21, tzinfo=UTC)]})
    assert out.getvalue().isascii()
    assert control_characters(out.getvalue()) == set()
    assert json.loads(out.getvalue()) == {text: [text, "2026-11-21T00:00:00+00:00"]}


@given(st.recursive(texts | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(texts, inner)))
def test_a_stored_line_becomes_ascii_with_the_same_values(value: object) -> None:
    stored = json.dumps(value, ensure_ascii=False).encode(errors="replace")
    line = ascii_json(stored)
    assert line.isascii()
    assert control_characters(line.decode()) == set()
    assert json.loads(line) == json.loads(stored)


@given(st.binary())
def test_any_bytes_become_printable_ascii(line: bytes) -> None:
    assert control_characters(ascii_json(line).decode("ascii")) == set()


@given(texts.filter(lambda text: text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text)))
def test_a_cell_is_one_line_that_steers_nothing_and_can_be_read_back(text: str) -> None:

    data = gzip.compress(json.dumps({"a": text}, ensure_ascii=False).encode() + b"\n")
    (row,) = Columns("a").rows(io.BytesIO(data))
    assert control_characters(row.decode()) == set()
    assert b"\n" not in row
    parts = row.decode().split(r"\\")
    assert "\\".join(each.encode("ascii", "backslashreplace").decode("unicode_escape") for each in parts) == text


@pytest.mark.parametrize("character", [" ", "\u00a0", "\u3000", "é", "日", "🚀", "\n", "\t"])
def test_what_only_shows_comes_as_it_is(character: str) -> None:
    assert printable(character) == character


@pytest.mark.parametrize(
    "code", [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180F, 0x3164, 0xFFA0, 0xE0100, 0xE01EF]
)
def test_an_invisible_character_is_escaped(code: int) -> None:
    text = f"a{chr(code)}b"
    escaped = f"a{chr(code).encode('unicode_escape').decode()}b"
    assert (printable(text), one_line(text)) == (escaped, escaped)
    data = gzip.compress(json.dumps({"a": text}, ensure_ascii=False).encode() + b"\n")
    assert list(Columns("a").rows(io.BytesIO(data))) == [escaped.encode()]


@given(texts)
def test_what_was_escaped_is_escaped_once(text: str) -> None:
    assert printable(printable(text)) == printable(text)
    assert control_characters(one_line(text)) == set()


def test_every_character_that_steers_is_escaped() -> None:
    assert [each for each in CONTROL if printable(each) == each] == []


def test_our_styles_are_shown_and_the_markup_of_others_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    console = SafeConsole()
    with console.capture() as captured:
        console.print(Text.assemble(("bold", "bold"), " [red]:smile:[/red] \x1b[31m"))
        console.print("[link=https://example.com]here[/link]")
    assert captured.get() == (
        "\x1b[1mbold\x1b[0m [red]:smile:[/red] \\x1b[31m\n[link=https://example.com]here[/link]\n"
    )


def test_what_moves_on_a_terminal_is_escaped_too() -> None:
    out = io.StringIO()
    with redirect_stdout(out):
        console = SafeConsole()
        with Live(Text("\x9b31m"), console=console, auto_refresh=False) as live:
            live.update(Text("\u202e"), refresh=True)
        with Progress(TextColumn("{task.description}"), console=console, auto_refresh=False) as progress:
            progress.add_task("\u2066")
    assert control_characters(out.getvalue()) == set()
    assert r"\u202e" in out.getvalue()


# One place


def writes(module: Path) -> Iterator[tuple[int, str]]:
    """Where a module writes to the terminal by itself."""
    for node in ast.walk(ast.parse(module.read_text())):
        match node:
            case ast.Call(func=ast.Name(id="print")):
                yield node.lineno, "print"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="typer"), attr=name)) if name in {
                "echo",
                "secho",
                "prompt",
                "confirm",
                "progressbar",
            }:
                yield node.lineno, f"typer.{name}"
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id="sys"), attr="stdout" | "stderr"), attr=name) if (
                name not in {"flush", "fileno"}
            ):
                yield node.lineno, f"sys.….{name}"
            case ast.ImportFrom(module="rich.console", names=names):
                yield from ((node.lineno, each.name) for each in names if each.name == "Console")
            case ast.ImportFrom(module="rich", names=names):
                yield from ((node.lineno, each.name) for each in names)
            case ast.Attribute(value=ast.Name(id="logging" | "warnings"), attr="StreamHandler" | "warn"):
                yield node.lineno, "a handler"


@pytest.mark.parametrize("module", MODULES, ids=lambda each: each.stem)
def test_no_module_writes_past_the_one_place(module: Path) -> None:
    found = list(writes(module))
    match module.name:
        case "output.py":
            assert found
        case "prompts.py":  # what it asks is escaped there
            assert {name for _, name in found} == {"typer.prompt", "typer.confirm"}
            assert module.read_text().count("(printable(") == len(found)
        case _:
            assert found == []


# What others write as numbers and moments


@given(st.integers() | st.text() | st.floats() | st.booleans() | st.none() | st.lists(st.integers()))
def test_a_number_is_one_within_its_bounds_or_none(value: object) -> None:
    number = read_number(value, 1000)
    assert number is None or (type(number) is int and 0 <= number <= 1000)


@pytest.mark.parametrize("value", ["9" * 5000, "-1", "1.0", "1e3", "٣", "²", " 1", "1\n", True, 1001, -1, 1.0])
def test_any_other_value_is_not_read_as_a_number(value: object) -> None:
    assert read_number(value, 1000) is None


@pytest.mark.parametrize("value", [0, 7, 1000, "0", "7", "0007", "1000"])
def test_a_number_is_read_in_digits_or_as_it_is(value: int | str) -> None:
    assert read_number(value, 1000) == int(value)


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0000-01-01", "9" * 5000, "nan", None, {}]
)
def test_a_moment_that_is_none_in_utc_is_none(text: str | dict[str, str] | None) -> None:
    assert read_moment(text) is None


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), float("-inf")])
def test_a_length_that_is_not_a_number_is_unknown(seconds: float) -> None:
    assert length(seconds) == "unknown"
