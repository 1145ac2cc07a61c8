"""What `sam build` and `make build` make: for each runtime that is here, and both architectures."""

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from local.build import HOST_ARCHITECTURE, RUNTIMES, build, compile_all, interpreter

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PRESENT = [runtime for runtime in RUNTIMES if interpreter(runtime)]
ELF_MACHINE = {"x86_64": 62, "arm64": 183}
UNCHECKED_HASH = 0b01
MAX_UNZIPPED_BYTES = 250 * 1024 * 1024
"""A function with its layers: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html."""


def test_the_template_switches_off_no_rule_of_the_linter_that_make_check_runs() -> None:
    assert re.search(r"sam validate --lint$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert "cfn-lint" not in (ROOT / "template.yaml").read_text()
    assert not list(ROOT.glob(".cfnlintrc*"))


@pytest.mark.parametrize("architecture", ELF_MACHINE)
@pytest.mark.parametrize("runtime", PRESENT)
def test_the_layer_builds_for_every_runtime_that_is_here(runtime: str, architecture: str, tmp_path: Path) -> None:
    directory = build(runtime, architecture, tmp_path / "build")
    layer = directory / "RelayLayer" / "python"
    assert (layer / "relay" / "delivery.py").exists()
    assert list(directory.rglob("*.pyc")) == []
    tag = f"cpython-{runtime.removeprefix('python').replace('.', '')}"
    for library in ("msgspec/_core", "isal/isal_zlib"):
        (native,) = layer.glob(f"{library}.*.so")
        assert tag in native.name
        assert struct.unpack_from("<H", native.read_bytes(), 18) == (ELF_MACHINE[architecture],)
    if architecture == HOST_ARCHITECTURE:  # bytecode is the same on both, and so is what is imported
        compile_all(runtime, directory)
        sources = list(directory.rglob("*.py"))
        python = interpreter(runtime)
        magic = subprocess.run(
            [str(python), "-c", "import importlib.util, sys; sys.stdout.buffer.write(importlib.util.MAGIC_NUMBER)"],
            capture_output=True,
            check=True,
        ).stdout
        for source in sources:
            compiled = (source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc").read_bytes()
            assert compiled[:8] == magic + struct.pack("<I", UNCHECKED_HASH), source
            assert str(tmp_path).encode() not in compiled
        code = f"import sys; sys.path.insert(0, {str(layer)!r}); import relay.wiring, relay.backup_wiring"
        subprocess.run([str(python), "-I", "-S", "-c", code], check=True)
    assert sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) < MAX_UNZIPPED_BYTES / 2


def fake_python(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_shim_that_only_complains_is_passed_over(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3.13", "echo 'python3.13: command not found' >&2; exit 127")
    fake_python(tmp_path, "python3.12", "exit 0")
    found = subprocess.run(
        ["sh", "local/find_python.sh"],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert subprocess.run([found, "-c", "import pip, venv"], check=False).returncode == 0
    assert not found.startswith(str(tmp_path))


def test_a_machine_without_a_fit_python_is_told_what_to_install(tmp_path: Path) -> None:
    for name in ("sh", "env"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    fake_python(tmp_path, "python3", "exit 1")
    done = subprocess.run(
        ["sh", "local/find_python.sh"],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "apt-get install python3-pip" in done.stderr


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "up", "down", "build", "deploy", "test", "bench"):
        assert f"  make {target} " in shown


def test_pinned_requirements_name_no_host_and_no_path() -> None:
    for path in [*(ROOT / "requirements").glob("*.txt"), ROOT / "layers" / "relay" / "requirements.txt"]:
        for line in path.read_text().splitlines():
            assert "==" in line
            assert "/" not in line
