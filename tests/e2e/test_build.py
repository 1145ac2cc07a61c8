"""The results of `sam build` and `make build`, for each installed runtime and both architectures."""

import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from local.build import (
    HOST_ARCHITECTURE,
    HOST_RUNTIME,
    REQUIREMENTS,
    BuildError,
    _platforms,
    build,
    compile_all,
    interpreter,
    runtimes,
    sam,
)
from local.deploy import check

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PRESENT = [runtime for runtime in runtimes() if interpreter(runtime)]
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
def test_the_layer_builds_for_every_installed_runtime(runtime: str, architecture: str, tmp_path: Path) -> None:
    directory = build(runtime, architecture, tmp_path / "build")
    check(runtime, architecture, directory)
    layer = directory / "RelayLayer" / "python"
    assert (layer / "relay" / "posting" / "delivery.py").exists()
    assert list(directory.rglob("*.pyc")) == []
    tag = f"cpython-{runtime.removeprefix('python').replace('.', '')}"
    for library in ("msgspec/_core", "isal/isal_zlib"):
        (native,) = layer.glob(f"{library}.*.so")
        assert tag in native.name
        assert struct.unpack_from("<H", native.read_bytes(), 18) == (ELF_MACHINE[architecture],)
    if architecture == HOST_ARCHITECTURE:  # bytecode and imports are the same on both
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
        code = (
            f"import sys; sys.path.insert(0, {str(layer)!r}); import relay.posting.bootstrap, relay.backups.bootstrap\n"
            "import zoneinfo; zoneinfo.reset_tzpath(())  # Lambda's image need not have a database of zones\n"
            "from relay.posting.gate import pause_by_hours\n"
            "assert pause_by_hours('MON-FRI 09:30-16:00 America/New_York', 'NYSE')(1795723200)  # Thanksgiving 2026"
        )
        subprocess.run([str(python), "-I", "-S", "-c", code], check=True)
    assert sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) < MAX_UNZIPPED_BYTES / 2


@pytest.mark.parametrize("architecture", ELF_MACHINE)
@pytest.mark.parametrize("runtime", [runtime for runtime in runtimes() if runtime not in PRESENT])
def test_the_layer_has_wheels_with_hashes_for_every_other_runtime(
    runtime: str, architecture: str, tmp_path: Path
) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--require-hashes", "--no-deps", "--requirement", str(REQUIREMENTS)]
    pip += ["--dest", str(tmp_path), "--python-version", runtime.removeprefix("python"), "--implementation", "cp"]
    subprocess.run([*pip, *_platforms(runtime, architecture)], check=True)


def test_plain_sam_build_takes_no_file_whose_hash_was_not_pinned(tmp_path: Path) -> None:
    """For this machine's processor; for another one, SAM requests some wheels without their hashes."""
    shutil.copytree(ROOT / "functions", tmp_path / "functions")
    shutil.copytree(ROOT / "layers", tmp_path / "layers")
    shutil.copy(ROOT / "template.yaml", tmp_path)
    requirements = tmp_path / "layers" / "relay" / "requirements.txt"
    pinned = requirements.read_text()
    requirements.write_text(re.sub(r"(?<=--hash=sha256:).", lambda digit: "1" if digit[0] == "0" else "0", pinned))
    python = interpreter(HOST_RUNTIME)
    assert python
    with pytest.raises(BuildError, match="THESE PACKAGES DO NOT MATCH THE HASHES"):
        sam(
            "build",
            "--parameter-overrides",
            f"PythonRuntime={HOST_RUNTIME}",
            f"Architecture={HOST_ARCHITECTURE}",
            environment={"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"},
            folder=tmp_path,
        )


def test_a_build_is_deployed_only_as_what_it_is(tmp_path: Path) -> None:
    directory = build(HOST_RUNTIME, HOST_ARCHITECTURE, tmp_path / "build")
    check(HOST_RUNTIME, HOST_ARCHITECTURE, directory)
    another = next(each for each in ELF_MACHINE if each != HOST_ARCHITECTURE)
    with pytest.raises(BuildError, match=f"is for {HOST_RUNTIME} on {HOST_ARCHITECTURE}, not for .* on {another}"):
        check(HOST_RUNTIME, another, directory)
    older = next(each for each in runtimes() if each != HOST_RUNTIME)
    with pytest.raises(BuildError, match=f"is for {HOST_RUNTIME} on .*, not for {older}"):
        check(older, HOST_ARCHITECTURE, directory)
    with pytest.raises(BuildError, match="There is no build yet"):
        check(HOST_RUNTIME, HOST_ARCHITECTURE, tmp_path)
    template = directory / "template.yaml"
    built = template.read_text()
    for ours, theirs in (
        ("dynamodb:UpdateItem", "dynamodb:*"),
        ("CodeUri: PostMessagesFunction", "CodeUri: /root"),
        ("Resources:\n", "Resources:\n  Another: {Type: AWS::SNS::Topic}\n"),
        ("Transform:", "Transform: [Another]\nTheirs:"),
    ):
        assert ours in built
        template.write_text(built.replace(ours, theirs))
        with pytest.raises(BuildError, match=r"made from another template than template\.yaml"):
            check(HOST_RUNTIME, HOST_ARCHITECTURE, directory)


@pytest.mark.parametrize(("target", "variable"), [("unbundle", "SHA256"), ("deploy-built", "PARAMETERS")])
def test_a_setting_of_the_job_that_deploys_is_run_by_no_shell(target: str, variable: str, tmp_path: Path) -> None:
    """The job that builds, or a user who may change a variable of the repository, may be hostile."""
    setting = f"$(shell touch {tmp_path}/run)`touch {tmp_path}/run`; touch {tmp_path}/run"
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nprintf %s "${variable} $*" > received')
    python.chmod(0o755)
    (tmp_path / ".venv" / ".local").touch()
    command = ["make", "--silent", "--assume-old=.venv/.local", target, "RUNTIME=python3.13", "ARCH=arm64"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | {variable: setting}, check=True)
    received = (tmp_path / "received").read_text()
    assert received.startswith(f"{setting} -m local.")
    assert received.count(setting) == 1
    assert not (tmp_path / "run").exists()


def test_environments_are_recreated_only_when_their_requirements_or_the_python_change(tmp_path: Path) -> None:
    (tmp_path / "Makefile").symlink_to(ROOT / "Makefile")
    (tmp_path / "template.yaml").symlink_to(ROOT / "template.yaml")
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "environment.sh").write_text('mkdir -p "$1"; echo "$1" >> made')

    def makes(version: str) -> list[str]:
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\necho Python {version}\n")
        python.chmod(0o755)
        (tmp_path / "local" / "find_python.sh").write_text(f"echo {python}")
        (tmp_path / "made").write_text("")
        subprocess.run(["make", "-s", ".venv/.dev", ".local/emulator/.ready"], cwd=tmp_path, check=True)
        return sorted((tmp_path / "made").read_text().splitlines())

    everything = [".local/emulator", ".local/uv", ".venv", ".venv"]
    assert makes("3.13.0") == everything
    assert makes("3.13.0") == []
    assert makes("3.13.1") == everything
    shutil.copy(ROOT / "requirements" / "emulator.txt", tmp_path / "requirements" / "emulator.txt")
    assert makes("3.13.1") == [".local/emulator"]


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "up", "down", "build", "deploy", "test", "test-runtimes", "bench"):
        assert f"  make {target} " in shown
