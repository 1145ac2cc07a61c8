"""The completion that `relay --install-completion` installs, in the shells themselves."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import relay
import relay_cli

SECONDS = 30
SHELLS = {"bash": [], "zsh": [], "fish": ["-C", "set -g fish_autosuggestion_enabled 0"]}
"""The shells, and what keeps one from asking for completions at each letter."""
TYPED = {
    "relay dea\tsho\t": "dead show",
    "relay posts --outcome def\t--ut\t": "posts --outcome deferred --utc",
}
"""What is typed, and what it becomes."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home of its own, and a `relay` that prints its arguments unless a shell asks it for completions."""
    path = os.pathsep.join(str(Path(each.__file__ or "").parents[1]) for each in (relay, relay_cli))
    command = tmp_path / "bin" / "relay"
    command.parent.mkdir()
    run = f"exec {sys.executable} -c 'from relay_cli.app import main; main()' \"$@\""
    command.write_text(
        f'#!/bin/sh\nexport PYTHONPATH="{path}"\n'
        f'if [ -n "$_RELAY_COMPLETE" ] || [ "$1" = --install-completion ]; then {run}; fi\necho "<$*>"\n'
    )
    command.chmod(0o755)
    return {
        "HOME": str(tmp_path),
        "PATH": f"{command.parent}{os.pathsep}{os.defpath}",
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
    }


class Shell:
    """An interactive shell on a terminal."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        self._terminal, theirs = pty.openpty()
        command = ["setsid", "--ctty", name, "-i", *SHELLS[name]]
        self._shell = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)

    def close(self) -> None:
        self._shell.kill()
        self._shell.wait()
        os.close(self._terminal)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def read_until(self, pattern: str) -> str:
        """Read what the terminal shows until it has this; what it showed if that does not come."""
        deadline, shown = time.monotonic() + SECONDS, ""
        while not re.search(pattern, shown) and time.monotonic() < deadline:
            if select.select([self._terminal], [], [], 0.1)[0]:
                shown += os.read(self._terminal, 65536).decode(errors="replace")
        return shown


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_completes_commands_options_and_values(name: str, environment: dict[str, str]) -> None:
    assert shutil.which(name), f"{name} is not installed: run `make test-shells`"
    install = "relay --install-completion; true"  # a shell that replaces itself by its last command is not found
    subprocess.run([name, "-ic", install], env=environment, check=True, capture_output=True)
    with closing(Shell(name, environment)) as shell:
        shell.read_until("[#$%>] ")  # a shell may discard what is typed before its prompt
        for typed, meant in TYPED.items():
            shell.type(f"{typed}\r")
            shown = shell.read_until("<.*>")
            assert f"<{meant}>" in shown, shown
