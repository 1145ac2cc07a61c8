"""The Makefile starts each program of `verification/` so that it finds what it imports."""

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
