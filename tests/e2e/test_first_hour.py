"""The first hour of a newcomer: from `git clone` to a posted alert and a fetched backup, by what README.md says.

Only two things are as they are here and not as in README.md: AWS is an emulator, with this machine's processor and
stand-ins for StockTwits and Firestream, and the libraries that `make` and `pip` would download are there already, those
of this environment.
"""

import os
import pty
import re
import resource
import select
import shutil
import subprocess
import sys
import sysconfig
import termios
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from local.build import HOST_ARCHITECTURE, ROOT
from local.processes import end_session
from local.stack.emulator import Emulator
from local.stand_ins.firestream.server import FirestreamStandIn
from local.stand_ins.stocktwits.server import StandIn
from tests.e2e.documented.blocks import blocks_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

DEPLOYING_SECONDS, SECONDS = 240, 90
OWN_SECONDS = 1.0
"""How long a command that does not deploy may take itself, without what it waits for: somebody who types it should not
notice that it starts. It is the time that processors worked for it, in the program and in the kernel.

It is meant for a machine on which `YARDSTICK` takes `YARDSTICK_SECONDS`, where the commands take 0.6 to 0.7; elsewhere,
it is as much longer or shorter as that is. A busy machine, whose processors share their caches, takes more, though not
always the same: so both are measured anew if a command seems slow, and the least counts."""

YARDSTICK, YARDSTICK_SECONDS = 'python -c "import boto3"', 0.22
"""What every command does first, with the interpreter that runs the command."""

RUNS = 4
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
"""Lets pip build with this environment's setuptools instead of asking the index; by 0, it means no isolation."""

AGAIN = {"relay send": " --dry-run", "relay get": " --force"}
"""How a command is run once more, without doing again what it did."""

HIDDEN = ("Access token", "Password")
"""The questions whose answers are not shown."""

DAY = date(2016, 12, 5)


@dataclass
class Newcomer:
    """Somebody in a clone, who types commands and answers questions.

    Attributes:
        times: Each command, with how long it took, and how much of that the processor worked for it, in seconds.
    """

    clone: Path
    environment: dict[str, str]
    times: list[tuple[str, float, float]]

    def types(self, command: str, answers: Sequence[tuple[str, str]] = (), seconds: int = SECONDS) -> str:
        """Run commands in a terminal; answer each question once it is asked. Return what was printed."""
        ours, terminal = pty.openpty()
        started, worked = time.monotonic(), _processor_seconds()
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.clone,
            env=self.environment,
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        os.close(terminal)
        output, left = "", list(answers)
        try:
            assert process.stdout
            while True:
                assert time.monotonic() - started < seconds, output
                if left and left[0][0] in output and (left[0][0] not in HIDDEN or _is_hidden(ours)):
                    os.write(ours, f"{left.pop(0)[1]}\n".encode())
                if select.select([process.stdout], [], [], 0.1)[0]:
                    piece = os.read(process.stdout.fileno(), 65_536)
                    output += piece.decode(errors="replace")
                    if not piece:
                        break
            assert process.wait(SECONDS) == 0, output
            assert left == [], output
        finally:
            end_session(process)
            if process.stdout:
                process.stdout.close()
            os.close(ours)
        self.times.append((command, time.monotonic() - started, _processor_seconds() - worked))
        return output

    def own_seconds(self, command: str, worked: float) -> float:
        """Return what a command takes itself on the machine of `OWN_SECONDS`, if `worked` is what it took here."""
        suffix = "".join(option for start, option in AGAIN.items() if command.startswith(start))
        least = worked / self._worked(YARDSTICK) * YARDSTICK_SECONDS
        for _ in range(RUNS):
            if least > OWN_SECONDS:
                least = min(least, self._worked(command + suffix) / self._worked(YARDSTICK) * YARDSTICK_SECONDS)
        return least

    def _worked(self, command: str) -> float:
        """Run a command that is not part of the hour; return the processor's seconds for it."""
        self.types(command)
        return self.times.pop()[2]


def _is_hidden(terminal: int) -> bool:
    """Return whether a terminal shows nothing of what is typed: what was typed before that is thrown away."""
    return not termios.tcgetattr(terminal)[3] & termios.ECHO


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture
def stocktwits() -> Iterator[StandIn]:
    with StandIn(username="your_account") as stand_in:
        yield stand_in


@pytest.fixture
def firestream() -> Iterator[FirestreamStandIn]:
    with FirestreamStandIn(messages_per_day=50, activities_per_day=50) as stand_in:
        yield stand_in


@pytest.fixture
def newcomer(stocktwits: StandIn, firestream: FirestreamStandIn, tmp_path: Path) -> Iterator[Newcomer]:
    """Somebody with a fresh clone, credentials in the environment, and a region in AWS_REGION alone."""
    published, clone, programs = (tmp_path / name for name in ("published", "clone", "programs"))
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "build.tar")
    shutil.copytree(ROOT, published, ignore=ignored)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "All of it"]):
        subprocess.run([*git, *words], cwd=published, check=True)
    subprocess.run([*git, "clone", "-q", published, clone], check=True)
    home, tools = tmp_path / "home", clone / ".venv" / "bin"
    for folder in (home, tools, programs):
        folder.mkdir(parents=True)
    samconfig = clone / "samconfig.toml"
    addresses = [f"StockTwitsApiUrl={stocktwits.api_url}", f"FirestreamUrl={firestream.url}"]
    addresses.append("PublisherArns=arn:aws:sns:*:000000000000:alerts")  # the emulator mistakes none for an empty one
    section = "[default.deploy.parameters]\n"
    samconfig.write_text(samconfig.read_text().replace(section, f"{section}parameter_overrides = {addresses}\n"))
    with Emulator() as emulator:
        for program, command in {
            tools / "python": sys.executable,
            programs / "python3": sys.executable,
            programs / "make": f"{shutil.which('make')} --assume-old=.venv/.local",  # the tools are there
        }.items():
            program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            program.chmod(0o755)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RELAY_"))},
            **emulator.environment,
            "HOME": str(home),
            "PATH": f"{home / 'relay' / 'bin'}{os.pathsep}{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),  # pip's, for the build
            "LANG": "C.UTF-8",
            "COLUMNS": "80",
            "ARCH": HOST_ARCHITECTURE,  # the emulator runs functions on this machine, and not on AWS's arm64
            "SAM_CLI_TELEMETRY": "0",
        }
        del environment["AWS_DEFAULT_REGION"]
        newcomer = Newcomer(clone, environment, [])
        yield newcomer
    print("\n  wall  processor")  # noqa: T201  pytest -rP shows it
    for command, seconds, worked in newcomer.times:
        print(f"{seconds:6.1f} {worked:6.1f}  {command.splitlines()[-1]}")  # noqa: T201


def readme(start: str) -> str:
    """Return the block of README.md that begins with this."""
    (found,) = [
        block.text for block in blocks_of("README.md", (ROOT / "README.md").read_text()) if block.text.startswith(start)
    ]
    return found


def of_the_table(start: str) -> str:
    """Return a command from README's table of commands."""
    found = re.findall(rf"`({re.escape(start)}[^`]*)`", (ROOT / "README.md").read_text())
    return found[0]


def test_readme_leads_from_a_clone_to_a_posted_alert_and_a_fetched_backup(
    newcomer: Newcomer, stocktwits: StandIn, firestream: FirestreamStandIn
) -> None:
    answers = [
        ("Post alerts to StockTwits?", ""),
        ("Copy Firestream's backups every night?", "y"),
        ("such as TradingView?", ""),
        ("Posts an hour", ""),
        ("Posts at once", ""),
        ("Posts a day", ""),
        ("Mail alarms to", "you@example.com"),
        ("with your application, or later?", "token"),
        ("Firestream's user name", firestream.username),
        ("Deploy this?", "y"),
        ("Access token", stocktwits.access_token),
        ("Post as it?", "y"),
        ("Password", firestream.password),
    ]
    newcomer.environment |= OFFLINE
    newcomer.types(readme("python3 -m venv"))
    for name in OFFLINE:
        del newcomer.environment[name]
    shown = newcomer.types(readme("relay setup"), answers, DEPLOYING_SECONDS)
    assert "dry_run dry run: nothing was sent" in shown
    assert stocktwits.posts == []
    assert stocktwits.access_token not in shown
    assert firestream.password not in shown

    assert re.search(r'^ +(make deploy PARAMETERS="DryRun=false")$', shown, re.MULTILINE)
    newcomer.types(readme('make deploy PARAMETERS="DryRun=false'), seconds=DEPLOYING_SECONDS)
    shown = newcomer.types(of_the_table("relay send"))
    (link,) = re.findall(r"http://\S+", shown)
    assert link.startswith(f"{stocktwits.url}/your_account/message/")
    assert [post.body for post in stocktwits.posts] == ["Up 3% $AAPL"]
    assert link in newcomer.types("relay posts")
    newcomer.types("relay status")

    newcomer.types(f"relay backfill {DAY} {DAY}")
    newcomer.types(of_the_table("relay get message"))
    (file,) = newcomer.clone.glob("*.gz")
    assert file.read_bytes() == firestream.content("message", DAY)
    for command, _, worked in [
        each for each in newcomer.times if each[0].startswith("relay") and "setup" not in each[0]
    ]:
        assert newcomer.own_seconds(command, worked) <= OWN_SECONDS, command
