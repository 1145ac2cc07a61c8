"""``sam build`` for a runtime and an architecture, and compiling what it made.

SAM's own builder leaves Python without its bytecode, and Lambda's file system is read-only: every cold start would
compile every import anew. The files are ``unchecked-hash``, since a zip file does not keep the time stamps by which
Python otherwise trusts bytecode.

Nor does it check hashes for another processor than this machine's: it gives pip the requirements, which have them, and
then asks anew for the wheels that do not fit, by their versions alone. So pip fetches all of them beforehand, for both,
and SAM's pip gets no others.
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
"""For a file with a wrong hash, pip names each one that would do; it begins with what has happened."""


class BuildError(Exception):
    """A step of building or deploying failed; the text is what its tool printed."""


def runtimes() -> tuple[str, ...]:
    """Return the runtimes that the template allows, such as ``python3.13``, oldest first."""
    return tuple(_of_parameter("AllowedValues").strip("[]").split(", "))


def deployed_runtime() -> str:
    """Return the runtime that the template deploys, unless its owner names another one."""
    return _of_parameter("Default")


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
    """Run ``sam build``, with files whose hashes the requirements name.

    Args:
        runtime: Such as ``python3.13``; its interpreter must be on this machine.
        architecture: ``arm64`` or ``x86_64``.
        directory: Where the artifacts go.
        template: What to build; its paths count from the project's root.
        requirements: What its layer needs, with hashes.

    Returns:
        The directory.

    Raises:
        BuildError: SAM said no, a file is not what the requirements name, or there is no such Python.
    """
    python = interpreter(runtime)
    if python is None:
        raise BuildError(f"sam build for {runtime} needs that Python with pip, on PATH or in pyenv's folders")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _workshop(runtime, architecture) as workshop:
        memory, known = directory.with_name("build.toml"), workshop / "build.toml"  # SAM's own name and place for it
        if known.exists():
            shutil.copy(known, memory)
        wheels = _wheels(python, runtime, architecture, requirements, workshop)
        sam(
            "build",
            "--template-file",
            str(template),
            "--base-dir",
            str(ROOT),
            "--build-dir",
            str(directory),
            "--cache-dir",
            str(workshop / "cache"),
            "--parameter-overrides",
            f"PythonRuntime={runtime}",
            f"Architecture={architecture}",
            environment={
                "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": wheels.as_uri(),  # pip splits what it reads from the environment at spaces
            },
            folder=workshop,
        )
        shutil.copy(memory, known)
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
        # A traceback shows where the file lies in Lambda, not where it was compiled.
        _run([*command, "-s", str(artifact), "-p", "/opt" if "Layer" in artifact.name else "/var/task", str(artifact)])


def sam(*arguments: str, environment: Mapping[str, str] | None = None, folder: Path = ROOT) -> str:
    """Run the SAM CLI of this environment in a folder, and return what it printed.

    Raises:
        BuildError: It failed.
    """
    command = [str(Path(sys.executable).parent / "sam"), *arguments]
    return _run(command, {**os.environ, "SAM_CLI_TELEMETRY": "0", **(environment or {})}, folder)


@contextmanager
def _workshop(runtime: str, architecture: str) -> Iterator[Path]:
    """Give the folder where SAM runs to build for a runtime, to one at a time.

    SAM keeps what it installed in the folder where it runs, throws away there what the last build did not use, and
    remembers beside the artifacts what it is for. With a folder for each runtime, and the memory kept in it too, the
    next build finds its requirements installed, wherever its artifacts go.
    """
    workshop = ROOT / ".local" / "sam" / f"{runtime}-{architecture}"
    workshop.mkdir(parents=True, exist_ok=True)
    with (workshop / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield workshop


def _wheels(python: Path, runtime: str, architecture: str, requirements: Path, workshop: Path) -> Path:
    """Give the folder with the wheels of a requirements file: Lambda's, and this machine's if it has another processor.

    The folder has the file's digest in its name, so that other requirements, or hashes, are fetched and checked anew.
    """
    wheels = workshop / f"wheels-{hashlib.sha256(requirements.read_bytes()).hexdigest()}"
    if not wheels.exists():
        for old in workshop.glob("wheels-*"):
            shutil.rmtree(old)
        fetched = Path(tempfile.mkdtemp(prefix="wheels-", dir=workshop))
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "download", "--dest", str(fetched)]
        pip += ["--require-hashes", "--only-binary", ":all:", "--requirement", str(requirements)]
        for platforms in [_platforms(runtime, architecture), *([] if architecture == HOST_ARCHITECTURE else [()])]:
            _run([*pip, *platforms])
        fetched.rename(wheels)
    return wheels


def _platforms(runtime: str, architecture: str) -> tuple[str, ...]:
    """Name the platforms of the wheels that Lambda can load, as options of pip.

    Python 3.11 runs on Amazon Linux 2, with glibc 2.26, later ones on Amazon Linux 2023, with 2.34:
    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html.
    """
    machine = {"arm64": "aarch64", "x86_64": "x86_64"}[architecture]
    newer = () if runtime == "python3.11" else ("manylinux_2_28", "manylinux_2_34")
    return tuple(f"--platform={name}_{machine}" for name in ("manylinux2014", "manylinux_2_17", *newer))


def _run(command: list[str], environment: Mapping[str, str] = os.environ, folder: Path = ROOT) -> str:
    """Run a tool, with a session and temporary files of its own; both go with it, also when we are interrupted.

    It runs in a thread, which no interrupt reaches: one that came while the tool starts, or while its files are
    removed, would leave something behind. The main thread only waits, and ends the tool when it is interrupted.
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
        said = _OTHER_HASHES.sub("", output)
        raise BuildError(f"{' '.join(command[:2])} failed:\n{said[-4000:]}")
    return output


def _of_parameter(key: str) -> str:
    """Read what the template says of its parameter PythonRuntime."""
    found = re.search(
        rf"^  PythonRuntime:\n(?:    .*\n)*?    {key}: (.+)$", (ROOT / "template.yaml").read_text(), re.MULTILINE
    )
    if found is None:
        raise BuildError(f"the parameter PythonRuntime in template.yaml has no {key}")
    return found[1]


def main() -> int:
    """Build and compile, as ``make build`` does."""
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
