"""Each reason that an operator can read in Dead letters is explained in the documents, and no other."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from relay.posting import delivery

from tests.project.test_documents import ROOT, section

POSTING = ROOT / "layers" / "relay" / "relay" / "posting"
OTHERS = ROOT / "cli" / "relay_cli" / "deployed" / "dead_letters.py"
REJECTIONS = {"Reject", "NotYet", "Duplicate"}
MIN_CHARACTERS = 8
"""A text with fewer fixed characters names no reason."""


def text_of(node: ast.AST | None, constants: dict[str, Any]) -> str | None:
    """Return a text of the code, with `…` for what is put into it; None if it is not a text."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"{text_of(left, constants) or '…'}{text_of(right, constants) or '…'}"
        case ast.JoinedStr(values=values):
            return "".join(text_of(each, constants) or "…" for each in values)
        case ast.FormattedValue(value=ast.Name(id=name)) | ast.Name(id=name) if isinstance(constants.get(name), str):
            return str(constants[name])
    return None


def named(tree: ast.AST, name: str) -> list[ast.expr]:
    """Return what is assigned to a variable, or given as an argument, of this name."""
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                found.append(value)
            case ast.keyword(arg=target, value=value) if target == name:
                found.append(value)
    return found


def raised(path: Path) -> Iterator[str]:
    """Yield the reasons with which a module rejects a message."""
    tree, constants = ast.parse(path.read_text()), vars(import_module(f"relay.posting.{path.stem}"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            names = {node.id for node in ast.walk(call.func) if isinstance(node, ast.Name)}
            if not names & REJECTIONS:
                continue
            match call.args[0]:
                case ast.Name(id=name) if not isinstance(constants.get(name), str):
                    reasons = named(function, name)
                case ast.Attribute(attr=name):
                    reasons = named(tree, name)
                case reason:
                    reasons = [reason]
            texts = [text for each in reasons if (text := text_of(each, constants))]
            assert texts, f"{path.name}:{call.lineno}"
            yield from texts


def written(path: Path) -> Iterator[str]:
    """Yield every text of a module."""
    yield from (text for node in ast.walk(ast.parse(path.read_text())) if (text := text_of(node, {})))


def may_be_the_same(one: str, other: str) -> bool:
    """Return whether one text is the other, where it says `…`."""
    patterns = [".*".join(re.escape(part.strip()) for part in text.split("…")) for text in (one, other)]
    return any(re.fullmatch(pattern, text) for pattern, text in zip(patterns, (other, one), strict=True))


def names_a_reason(text: str) -> bool:
    return len(text.replace("…", "").strip()) >= MIN_CHARACTERS


REASONS = sorted(
    {*(reason for path in POSTING.glob("*.py") for reason in raised(path) if names_a_reason(reason))}
    | {f"… - {delivery.PERHAPS_POSTED}", delivery.NOT_POSTED}
)
TEXTS = {
    *REASONS,
    *(text for path in [*POSTING.glob("*.py"), OTHERS] for text in written(path) if names_a_reason(text)),
}
DOCUMENTED = [
    reason
    for row in section("docs/troubleshooting.md", "### A message is in Dead letters").splitlines()
    if row.startswith("| `")
    for reason in re.findall(r"`([^`]+)`", row.split("|")[1])
]


@pytest.mark.parametrize("reason", REASONS)
def test_troubleshooting_explains_every_reason_for_which_a_message_is_rejected(reason: str) -> None:
    assert any(may_be_the_same(documented, reason) for documented in DOCUMENTED)


@pytest.mark.parametrize("documented", DOCUMENTED)
def test_troubleshooting_explains_no_reason_that_nobody_can_read(documented: str) -> None:
    assert any(may_be_the_same(documented, text) for text in TEXTS)
