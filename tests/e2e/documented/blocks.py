"""The documents' fenced blocks, and a shell that runs those of one document as its reader would."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.build import ROOT
from local.processes import end_session, start_session
from local.stack.stack import Stack

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SECONDS = 240
"""How long a document's commands may take together."""

STILL_RUNNING = 124
"""The exit code of a shell that was stopped, as of the command `timeout`."""

NO_SHELL = {"ini", "js", "json", "jsonl", "mermaid", "python", "sql", "toml", "yaml"}
"""The languages of blocks that never contain commands."""

AWS = ROOT / ".local" / "awscli" / "bin" / "aws"
NOWHERE = "http://127.0.0.1:9"
"""The proxy for requests that would leave this machine: a port without a listener."""

PROGRAMS: dict[str, list[str | Path]] = {
    "python": [sys.executable],
    "relay": [sys.executable, "-c", "from relay_cli.app import main; main()"],
    "sam": [Path(sys.executable).with_name("sam")],
}
"""What a reader has installed, besides the AWS CLI and common tools."""

BODY = re.compile(r'\\?"body\\?": *\\?"([^"\\]+)')

FENCED = re.compile(
    r"^(?P<indent>[ ]*)(?P<fence>`{3,}|~{3,})(?P<language>[^\s`]*)[^\n]*\n(?P<text>.*?)^(?P=indent)(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a document.

    Attributes:
        document: Its path from the project's root.
        line: The number of its first line, below the fence.
        language: What stands behind the fence; empty when nothing does.
        text: Its lines, without the indentation of a list.
    """

    document: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """Its file and line, as an editor or a terminal opens it."""
        return f"{self.document}:{self.line}"

    @property
    def bodies(self) -> list[str]:
        """The posts in JSON that it publishes."""
        return BODY.findall(self.text)

    @property
    def command(self) -> str:
        """Its first line that is not a comment."""
        lines = [line.strip() for line in self.text.splitlines()]
        return next((line for line in lines if line and not line.startswith("#")), "")


def blocks() -> list[Block]:
    """Return every fenced block of every document, in order."""
    return [block for path in DOCUMENTS for block in blocks_of(str(path.relative_to(ROOT)), path.read_text())]


def blocks_of(document: str, text: str) -> list[Block]:
    """Return the fenced blocks of a document."""
    return [
        Block(document, text.count("\n", 0, found.start("text")) + 1, found["language"], textwrap.dedent(found["text"]))
        for found in FENCED.finditer(text)
    ]


def escapes(block: Block) -> bool:
    """Return whether a block contains commands without the mark of blocks that are run."""
    if block.language == "sh" or block.language in NO_SHELL:
        return False
    if block.language not in {"", "text"}:
        return True
    if re.match(r"(export )?\w+=", block.command):
        return True
    word = re.match(r"(?:[$#] )?([\w./-]+)(?=\s|$)", block.command)
    return word is not None and (word[1] in {*PROGRAMS, "aws", "make"} or shutil.which(word[1]) is not None)


@dataclass(frozen=True)
class Transcript:
    """The result of a shell.

    Attributes:
        code: How it ended: 0 when every command worked; STILL_RUNNING when it did not end.
        reached: The places that it came to.
        text: Its commands, each with what it printed.
    """

    code: int
    reached: Sequence[str]
    text: str

    def __str__(self) -> str:
        """Describe where it stopped, with the output there."""
        last = self.reached[-1] if self.reached else ""
        _, _, output = self.text.rpartition(f"# {last}\n")
        return f"{last} ended with {self.code}:\n{output}"


class Reader:
    """A reader who runs a document in a folder with the project's files, on the deployed stack."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        """Give the reader a copy of the project, a home and programs.

        Args:
            stack: A running one.
            folder: An empty one for all that.
        """
        self._project, home, programs = folder / "project", folder / "home", folder / "programs"
        self._log = folder / "transcript"
        shutil.copytree(ROOT, self._project, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build"))
        home.mkdir()
        programs.mkdir()
        # The CLI's version 1, which is what PyPI has, does not heed AWS_ENDPOINT_URL for SQS.
        commands: dict[str, list[str | Path]] = {**PROGRAMS, "aws": [AWS, "--endpoint-url", stack.emulator.url]}
        for name, command in commands.items():
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, command))} "$@"\n')
            program.chmod(0o755)
        (self._project / ".venv").mkdir()
        (self._project / ".venv" / "bin").symlink_to(programs)
        self._environment = {
            **stack.emulator.environment,
            "PATH": f"{programs}{os.pathsep}{os.defpath}",
            "HOME": str(home),
            "AWS_CONFIG_FILE": str(home / ".aws" / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(home / ".aws" / "credentials"),
            "LANG": "C.UTF-8",
            "PYTHONPATH": f"{ROOT / 'cli'}{os.pathsep}{ROOT / 'layers' / 'relay'}",
            "SAM_CLI_TELEMETRY": "0",
            **dict.fromkeys(("http_proxy", "https_proxy"), NOWHERE),
            "no_proxy": "127.0.0.1,localhost",
        }

    def writes(self, name: str, text: str) -> None:
        """Write a file that a document describes, or that a command writes which is not run here."""
        file = self._project / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def runs(self, read: Sequence[Block], answers: Mapping[str, Sequence[str]] | None = None) -> Transcript:
        """Run the blocks in one shell, until a command fails.

        Args:
            read: Of one document, in order.
            answers: The lines to type when asked, by how a block begins; any other question gets no answer.
        """
        script = self._log.with_suffix(".sh")
        script.write_text("".join(f"# {block.place}\n{script_of(block, answers or {})}" for block in read))
        shell: list[str | Path] = [
            "bash",
            "-v",
            "-euo",
            "pipefail",
            script,
        ]  # -v shows each line before it is run, a place too
        running = start_session(shell, self._log, cwd=self._project, environment=self._environment)
        try:
            code = running.wait(SECONDS)
        except subprocess.TimeoutExpired:
            code = STILL_RUNNING
        finally:
            end_session(running)
        text = self._log.read_text(errors="replace")
        return Transcript(code, reached_in(text, [block.place for block in read]), text)


def script_of(block: Block, answers: Mapping[str, Sequence[str]]) -> str:
    """Return the shell script of a block; Python code and answers are the input of its commands."""
    if block.language == "python":
        return with_input("python -", block.text)
    replies = [line for beginning, lines in answers.items() if block.command.startswith(beginning) for line in lines]
    return with_input(f"{{\n{block.text}}}", "".join(f"{line}\n" for line in replies)) if replies else block.text


def with_input(command: str, text: str) -> str:
    """Return shell code for a command with a text as its input."""
    return f"{command} <<'END OF INPUT'\n{text}END OF INPUT\n"


def reached_in(text: str, places: Collection[str]) -> list[str]:
    """Return the places that a shell's output contains."""
    return [place for place in places if f"# {place}\n" in text]
