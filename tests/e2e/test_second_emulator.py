"""`make test-second-emulator` on a machine without a Python that LocalEmu runs on."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.template import ROOT

pytestmark = pytest.mark.e2e  # it needs make


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
