"""`local/chromium.sh`: which browser the page is tested in."""

import shutil
import subprocess
from pathlib import Path

import pytest

from local.build import ROOT

RUNS = "echo Chromium 156"
COMPLAINS = "echo 'install the snap' >&2; exit 10"
ABSENT = "No chromium that runs was found: install one (Debian: apt-get install chromium).\n"


class Machine:
    """A machine with only these programs."""

    def __init__(self, folder: Path, user: int) -> None:
        self.folder = folder
        self.log = folder / "apt-get.log"
        self.has("id", f"echo {user}")
        for name in ("sh", "chmod"):
            (folder / name).symlink_to(shutil.which(name) or "")

    def has(self, name: str, script: str) -> str:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    def has_apt_get(self, installing: str) -> None:
        self.has("apt-get", f'echo "$@" >> {self.log}; echo noise; [ "$1" = update ] || {{ {installing}; }}')

    def asked(self, script: str = "local/chromium.sh") -> "subprocess.CompletedProcess[str]":
        command = ["sh", script]
        return subprocess.run(
            command, cwd=ROOT, env={"PATH": str(self.folder)}, capture_output=True, text=True, check=False
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine of an ordinary user."""
    return Machine(tmp_path, 1000)


@pytest.fixture
def machine_of_root(tmp_path: Path) -> Machine:
    return Machine(tmp_path, 0)


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome"])
def test_a_chromium_of_any_usual_name_is_found(machine: Machine, name: str) -> None:
    path = machine.has(name, RUNS)
    found = machine.asked()
    assert (found.returncode, found.stdout, found.stderr) == (0, f"{path}\n", "")


def test_a_stub_that_only_fails_is_skipped(machine: Machine) -> None:
    machine.has("chromium", COMPLAINS)
    path = machine.has("google-chrome", RUNS)
    assert machine.asked().stdout == f"{path}\n"


def test_without_one_an_ordinary_user_is_shown_what_to_install(machine: Machine) -> None:
    machine.has("chromium", COMPLAINS)
    machine.has_apt_get("exit 0")
    found = machine.asked()
    assert (found.returncode, found.stdout, found.stderr) == (1, "", ABSENT)
    assert not machine.log.exists()


def test_root_on_another_system_than_debian_is_shown_what_to_install(machine_of_root: Machine) -> None:
    found = machine_of_root.asked()
    assert (found.returncode, found.stdout, found.stderr) == (1, "", ABSENT)


def test_for_root_debians_is_installed_and_only_its_path_is_printed(machine_of_root: Machine) -> None:
    path = machine_of_root.folder / "chromium"
    machine_of_root.has_apt_get(f"printf '#!/bin/sh\\n' > {path}; chmod 755 {path}")
    found = machine_of_root.asked()
    assert (found.returncode, found.stdout) == (0, f"{path}\n")
    assert machine_of_root.log.read_text().splitlines() == [
        "update -qq",
        "install -y -qq --no-install-recommends chromium",
    ]


@pytest.mark.parametrize("installing", ["exit 100", "exit 0"])
def test_an_installation_that_gives_no_chromium_ends_with_what_to_install(
    machine_of_root: Machine, installing: str
) -> None:
    machine_of_root.has_apt_get(installing)
    found = machine_of_root.asked()
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.endswith(ABSENT)


def test_root_with_a_chromium_installs_nothing(machine_of_root: Machine) -> None:
    path = machine_of_root.has("chromium", RUNS)
    machine_of_root.has_apt_get("exit 0")
    assert machine_of_root.asked().stdout == f"{path}\n"
    assert not machine_of_root.log.exists()
