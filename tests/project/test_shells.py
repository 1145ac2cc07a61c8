"""`local/shells.sh`: the shells in which the completion is tested are there, or it says what to install."""

from pathlib import Path

import pytest

from tests.project.test_chromium import Machine

SCRIPT = "local/shells.sh"
ABSENT = "Not every shell was found: install zsh fish (Debian: apt-get install zsh fish).\n"


def machine_with(folder: Path, *shells: str, user: int = 0) -> Machine:
    machine = Machine(folder, user)
    for name in shells:
        machine.has(name, "")
    return machine


def test_where_all_are_there_nothing_is_installed(tmp_path: Path) -> None:
    machine = machine_with(tmp_path, "bash", "zsh", "fish")
    machine.has_apt_get("exit 0")
    asked = machine.asked(SCRIPT)
    assert (asked.returncode, asked.stderr, machine.log.exists()) == (0, "", False)


def test_an_ordinary_user_is_shown_what_to_install(tmp_path: Path) -> None:
    machine = machine_with(tmp_path, "bash", user=1000)
    machine.has_apt_get("exit 0")
    asked = machine.asked(SCRIPT)
    assert (asked.returncode, asked.stderr, machine.log.exists()) == (1, ABSENT, False)


def test_for_root_on_debian_those_that_are_missing_are_installed(tmp_path: Path) -> None:
    machine = machine_with(tmp_path, "bash")
    names = f"{tmp_path}/zsh {tmp_path}/fish"
    machine.has_apt_get(f"for each in {names}; do printf '#!/bin/sh\\n' > $each; chmod 755 $each; done")
    assert machine.asked(SCRIPT).returncode == 0
    assert machine.log.read_text().splitlines() == [
        "update -qq",
        "install -y -qq --no-install-recommends zsh fish",
    ]


@pytest.mark.parametrize("installing", ["exit 100", "exit 0"])
def test_an_installation_that_gives_no_shell_ends_with_what_to_install(tmp_path: Path, installing: str) -> None:
    machine = machine_with(tmp_path, "bash")
    machine.has_apt_get(installing)
    asked = machine.asked(SCRIPT)
    assert (asked.returncode, asked.stderr.endswith(ABSENT)) == (1, True)
