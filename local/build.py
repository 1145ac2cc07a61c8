"""Run ``sam build`` for a runtime and an architecture, and compile the result to bytecode.

SAM does not compile Python, and Lambda's file system is read-only, so every cold start would compile every import
again. The bytecode is ``unchecked-hash``, since a zip file does not keep the time stamps by which Python otherwise
validates it.

SAM also skips the hashes when it builds for another processor than this machine's: it gives pip the requirements with
their hashes, and then asks again for the wheels that do not fit, by version alone. Therefore pip downloads all wheels
beforehand, for both processors, and SAM's pip can use no others.
"""

import argparse
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from local.processes import end_session

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".aws-sam" / "build"
HOST_RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
HOST_ARCHITECTURE = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
REQUIREMENTS = ROOT / "layers" / "relay" / "requirements.txt"

_OTHER_HASHES = re.compile(r"^ +Expected +or .*\n", re.MULTILINE)
"""For a file with a wrong hash, pip lists every hash it would accept; the error itself comes first."""


class BuildError(Exception):
    """A step of building or deploying failed; the text is what the tool printed."""


def runtimes() -> tuple[str, ...]:
    """Return the runtimes that the template allows, such as ``python3.13``, oldest first."""
    return tuple(_runtime_parameter("AllowedValues").strip("[]").split(", "))


def deployed_runtime() -> str:
    """Return the runtime that the template deploys, unless its owner chooses another one."""
    return _runtime_parameter("Default")


def interpreter(runtime: str) -> Path | None:
    """Find a Python of a runtime's version that runs and has pip: this one, on PATH, or in pyenv's folders."""
    if runtime == HOST_RUNTIME and find_spec("pip"):
        return Path(sys.executable)
    command = ["sh", str(ROOT / "local" / "find_python.sh"), runtime]
    found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
    return Path(found.strip()) if found else None


def build(
    runtime: str,
    architecture: str,
    directory: Path = BUILD,
    *,
    template: Path = ROOT / "template.yaml",
    requirements: Path = REQUIREMENTS,
) -> Path:
    """Run ``sam build`` with wheels whose hashes are in the requirements.

    Args:
        runtime: Such as ``python3.13``; its interpreter must be on this machine.
        architecture: ``arm64`` or ``x86_64``.
        directory: Where the artifacts go.
        template: What to build; its paths are relative to the project's root.
        requirements: What its layer needs, with hashes.

    Returns:
        The directory.

    Raises:
        BuildError: ``sam build`` failed, a file's hash is not in the requirements, or that Python is not installed.
    """
    python = interpreter(runtime)
    if python is None:
        raise BuildError(
            f"sam build for {runtime} needs that Python with pip, on PATH or in pyenv's folders: install it, or build "
            f"for another one of {', '.join(runtimes())}, with RUNTIME=python3.x"
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _locked_build_dir(runtime, architecture) as build_dir:
        build_state, kept_state = directory.with_name("build.toml"), build_dir / "build.toml"  # SAM fixes the first
        if kept_state.exists():
            shutil.copy(kept_state, build_state)
        wheels = _wheels(python, runtime, architecture, requirements, build_dir)
        sam(
            "build",
            "--template-file",
            str(template),
            "--base-dir",
            str(ROOT),
            "--build-dir",
            str(directory),
            "--cache-dir",
            str(build_dir / "cache"),
            "--parameter-overrides",
            f"PythonRuntime={runtime}",
            f"Architecture={architecture}",
            environment={
                "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": wheels.as_uri(),  # pip splits what it reads from the environment at spaces
            },
            folder=build_dir,
        )
        shutil.copy(build_state, kept_state)
    return directory


def compile_all(runtime: str, directory: Path = BUILD) -> None:
    """Compile every packaged Python file to an ``unchecked-hash`` ``.pyc`` of the runtime.

    Raises:
        BuildError: A file could not be compiled.
    """
    python = interpreter(runtime)
    if python is None:
        raise BuildError(f"compiling for {runtime} needs that Python, on PATH or in pyenv's folders")
    for artifact in sorted(each for each in directory.iterdir() if each.is_dir()):
        command = [str(python), "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
        # A traceback shows the file's path in Lambda, not where it was compiled.
        _run([*command, "-s", str(artifact), "-p", "/opt" if "Layer" in artifact.name else "/var/task", str(artifact)])


def sam(*arguments: str, environment: Mapping[str, str] | None = None, folder: Path = ROOT) -> str:
    """Run the SAM CLI of this environment in a folder, and return what it printed.

    Raises:
        BuildError: It failed.
    """
    command = [str(Path(sys.executable).parent / "sam"), *arguments]
    return _run(command, {**os.environ, "SAM_CLI_TELEMETRY": "0", **(environment or {})}, folder)


@contextmanager
def _locked_build_dir(runtime: str, architecture: str) -> Iterator[Path]:
    """Lock and return the folder in which SAM builds for a runtime; one build at a time.

    SAM keeps what it installed in the folder where it runs, deletes there what the last build did not use, and records
    beside the artifacts what each is for (``build.toml``). With a folder for each runtime, and a copy of that record in
    it, the next build finds its requirements installed, wherever its artifacts go.
    """
    build_dir = ROOT / ".local" / "sam" / f"{runtime}-{architecture}"
    build_dir.mkdir(parents=True, exist_ok=True)
    with (build_dir / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield build_dir


def _wheels(python: Path, runtime: str, architecture: str, requirements: Path, build_dir: Path) -> Path:
    """Return the folder with the wheels of a requirements file: Lambda's, and this machine's if its processor differs.

    The folder's name contains the file's digest, so that other requirements or hashes are downloaded and checked again.
    """
    wheels = build_dir / f"wheels-{hashlib.sha256(requirements.read_bytes()).hexdigest()}"
    if not wheels.exists():
        for old in build_dir.glob("wheels-*"):
            shutil.rmtree(old)
        fetched = Path(tempfile.mkdtemp(prefix="wheels-", dir=build_dir))
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--dest", str(fetched)]
        pip += ["--require-hashes", "--only-binary", ":all:", "--requirement", str(requirements)]
        for platforms in [_platforms(runtime, architecture), *([] if architecture == HOST_ARCHITECTURE else [()])]:
            _run([*pip, *platforms])
        fetched.rename(wheels)
    return wheels


def _platforms(runtime: str, architecture: str) -> tuple[str, ...]:
    """Return pip's options for the platforms whose wheels Lambda can load.

    Python 3.11 runs on Amazon Linux 2, with glibc 2.26, later ones on Amazon Linux 2023, with 2.34:
    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html.
    """
    machine = {"arm64": "aarch64", "x86_64": "x86_64"}[architecture]
    newer = () if runtime == "python3.11" else ("manylinux_2_28", "manylinux_2_34")
    return tuple(f"--platform={name}_{machine}" for name in ("manylinux2014", "manylinux_2_17", *newer))


def _run(command: list[str], environment: Mapping[str, str] = os.environ, folder: Path = ROOT) -> str:
    """Run a tool with its own session and temporary folder, which end with it, also after an interrupt.

    The tool is started and cleaned up in a thread, which interrupts do not reach: an interrupt while the tool starts or
    while its files are removed would leave something behind. The main thread waits, and ends the tool on an interrupt.
    """
    interrupted = threading.Event()
    running: list[subprocess.Popen[str]] = []

    def run() -> tuple[int, str]:
        with tempfile.TemporaryDirectory(prefix="relay-build-") as scratch:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**environment, "TMPDIR": scratch},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            running.append(process)
            if interrupted.is_set():
                end_session(process)
            output, _ = process.communicate()
            return process.returncode, output

    with ThreadPoolExecutor(1) as thread:
        try:
            code, output = thread.submit(run).result()
        except BaseException:
            interrupted.set()
            for process in running:
                end_session(process)
            raise
    if code:
        shortened = _OTHER_HASHES.sub("", output)
        raise BuildError(f"{' '.join(command[:2])} failed:\n{shortened[-4000:]}")
    return output


def _runtime_parameter(key: str) -> str:
    """Read a property of the template's parameter PythonRuntime."""
    found = re.search(
        rf"^  PythonRuntime:\n(?:    .*\n)*?    {key}: (.+)$", (ROOT / "template.yaml").read_text(), re.MULTILINE
    )
    if found is None:
        raise BuildError(f"the parameter PythonRuntime in template.yaml has no {key}")
    return found[1]


def main() -> int:
    """Build and compile for ``make build``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", choices=runtimes(), required=True)
    parser.add_argument("--architecture", choices=("arm64", "x86_64"), required=True)
    wanted = parser.parse_args()
    try:
        directory = build(wanted.runtime, wanted.architecture)
        compile_all(wanted.runtime, directory)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Built and compiled for {wanted.runtime} on {wanted.architecture}: {directory.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
