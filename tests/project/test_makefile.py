"""The Makefile starts each program of `verification/` so that it finds what it imports, and says what is missing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STARTED = re.findall(
    r"^\t@(?:PYTHONPATH=(\S+) )?\.venv/bin/python -m (verification\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE
)


def test_the_programs_of_verification_are_started_by_the_makefile() -> None:
    assert {name for _, name in STARTED} == {
        "verification.benchmarks",
        "verification.reliability",
        "verification.reliability.iam",
        "verification.simulation",
    }


@pytest.mark.parametrize(("path", "name"), STARTED)
def test_a_program_finds_its_imports_on_the_path_that_the_makefile_gives_it(path: str, name: str) -> None:
    module = f"{name}.__main__" if (ROOT / name.replace(".", "/")).is_dir() else name
    environment = {each: value for each, value in os.environ.items() if each != "PYTHONPATH"}
    program = [sys.executable, "-c", f"import {module}"]
    done = subprocess.run(
        program, cwd=ROOT, env=environment | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def without_newer_pythons(tmp_path: Path) -> Path:
    """A copy of the Makefile on a machine where only the Python of the other environments is found."""
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    (tmp_path / "template.yaml").symlink_to(ROOT / "template.yaml")
    (tmp_path / "requirements").symlink_to(ROOT / "requirements")
    local = tmp_path / "local"
    local.mkdir()
    (local / "environment.sh").write_text('mkdir -p "$1"\n')
    (local / "find_python.sh").write_text(
        f'if [ $# = 0 ]; then echo {sys.executable}; exit 0; fi\necho "No $* was found." >&2\nexit 1\n'
    )
    return tmp_path


@pytest.mark.parametrize("allowed", ["", "1"])
def test_a_machine_without_a_python_for_the_second_emulator_is_told_so(
    without_newer_pythons: Path, allowed: str
) -> None:
    target = ".local/second-emulator/.ready"
    command = ["make", "-C", str(without_newer_pythons), target, f"ALLOW_MISSING={allowed}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "No python3.13 python3.12 python3.14 was found." in done.stderr
    assert ("ALLOW_MISSING=1 goes on without the second emulator." in done.stdout) == (not allowed)
    assert (done.returncode == 0) == bool(allowed)
    assert not (without_newer_pythons / target).exists()
