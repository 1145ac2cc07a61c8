"""Run the tests that need no emulator on each runtime that the template allows, one after the other.

Each runtime has its own environment under ``.local/runtimes``, with the requirements of ``.venv``. A Python that is
neither on PATH nor in pyenv's folders comes from Debian, in a chroot: see ``local/debian_python.sh``.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local.build import HOST_RUNTIME, ROOT, deployed_runtime, interpreter, runtimes

HOME = ROOT / ".local" / "runtimes"
REQUIREMENTS = ("requirements/local.txt", "requirements/dev.txt")
TESTS = (
    "tests/unit",
    "tests/integration",
    "tests/stand_ins",
    "tests/project",
    "tests/verification/test_fuzz.py",
    "tests/verification/test_fuzz_webhook.py",
)
"""The simulation and the reports are no part of what is deployed: `make test` runs their tests, on one Python."""

PROCESSES = 4
"""More than there are usually processors: some tests wait."""

MAX_FAILURES_SHOWN = 20
"""How many of a runtime's failures are printed; the log has them all."""

LOG_LINES_SHOWN = 20
"""How many lines of a log are printed when nothing else explains a failure."""

_PASSED, _TESTS_FAILED = 0, 1  # pytest's exit codes; the others mean that it did not finish


class MissingError(Exception):
    """A runtime is not available on this machine; the text says why."""


@dataclass(frozen=True)
class RunResult:
    """The result of the tests on one runtime.

    Attributes:
        passed: How many passed.
        failures: The names of those that failed, or what kept pytest from finishing.
        skipped: How many were skipped; there should be none.
    """

    passed: int
    failures: Sequence[str]
    skipped: int = 0


class Runtime:
    """One Python of this machine, or of a Debian in a chroot."""

    def __init__(self, name: str) -> None:
        """Find it.

        Args:
            name: Such as ``python3.12``.

        Raises:
            MissingError: It is not installed, and cannot be downloaded.
        """
        self.name = name
        self.log = HOME / f"{name}.log"
        self._directory = Path(".local") / "runtimes" / name
        self._prefix: list[str] = []
        self._environment = dict(os.environ)
        HOME.mkdir(parents=True, exist_ok=True)
        python = interpreter(name)
        if python:
            self._environment["PYTHON"] = str(python)
        else:
            self._prefix = ["sh", "local/debian_python.sh", name]
        found = self._run([name, "--version"] if python is None else [str(python), "--version"])
        if found.returncode:
            raise MissingError((found.stderr.strip().splitlines() or ["it does not run"])[-1])
        self.version = found.stdout.split()[-1]

    def prepare(self) -> None:
        """Create its environment, or update it.

        Raises:
            MissingError: Something cannot be installed.
        """
        done = self._run(["sh", "local/environment.sh", str(self._directory), *REQUIREMENTS])
        if done.returncode:
            raise MissingError(f"its environment cannot be created:\n{_tail(done.stdout + done.stderr)}")

    def test(self, tests: Sequence[str] = TESTS) -> RunResult:
        """Run the tests; what pytest prints goes into `log`."""
        report = HOME / f"{self.name}.xml"
        report.unlink(missing_ok=True)
        command = [f"{self._directory}/bin/python", "-m", "pytest", "--numprocesses", str(PROCESSES)]
        command += ["-p", "no:cacheprovider", f"--junitxml={report}", *tests]
        done = self._run(command)
        self.log.write_text(done.stdout + done.stderr)
        return read(report, done.returncode, self.log)

    def _run(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*self._prefix, *command],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )


def read(report: Path, code: int, log: Path) -> RunResult:
    """Read pytest's report.

    Args:
        report: The file in JUnit's format.
        code: Pytest's exit code.
        log: What it printed.
    """
    if not report.exists():
        return RunResult(0, [f"pytest did not finish ({code}):\n{_tail(log.read_text())}"])
    cases = list(ET.parse(report).iter("testcase"))
    failed = [each for each in cases if each.find("failure") is not None or each.find("error") is not None]
    skipped = sum(each.find("skipped") is not None for each in cases)
    names = dict.fromkeys(f"{each.get('classname')}.{each.get('name')}" for each in failed)
    failures = list(names)
    if code not in {_PASSED, _TESTS_FAILED} or (code == _TESTS_FAILED and not failures):
        failures.append(f"pytest exited with {code}:\n{_tail(log.read_text())}")
    if not cases:
        failures.append("no test was run")
    return RunResult(len(cases) - len(failed) - skipped, failures, skipped)


def line(name: str, version: str, run: RunResult, seconds: float) -> str:
    """Summarise a run in one line."""
    skipped = f"  {run.skipped} skipped" if run.skipped else ""
    return f"{name:10}  {version:8}  {run.passed:5} passed  {len(run.failures):3} failed{skipped}  {seconds:4.0f} s"


def used() -> str:
    """Describe which Python the tests of ``make test`` ran on, and which one is deployed."""
    here, deployed = platform.python_version(), deployed_runtime()
    if deployed == HOST_RUNTIME:
        return f"Tested on Python {here}: the template deploys {deployed}."
    return (
        f"Tested on Python {here}, but the template deploys {deployed}.\n"
        f"To test on {deployed}, install it on PATH or in pyenv's folders, or set PYTHON=/path/to/{deployed}"
    )


def test_all(names: Sequence[str], *, allow_missing: bool) -> int:
    """Test on each runtime; print a line for each, then the failures; return the exit code."""
    passed = failed = 0
    problems: list[str] = []
    for name in names:
        start = time.monotonic()
        try:
            runtime = Runtime(name)
            runtime.prepare()
        except MissingError as missing:
            print(f"{name:10}  not available: {missing}", flush=True)
            if not allow_missing:
                problems.append(f"{name} was not tested (ALLOW_MISSING=1 skips a runtime that is not available).")
            continue
        run = runtime.test()
        print(line(name, runtime.version, run, time.monotonic() - start), flush=True)
        passed, failed = passed + run.passed, failed + len(run.failures)
        problems += [f"{name}: {each}" for each in run.failures[:MAX_FAILURES_SHOWN]]
        if run.failures:
            problems.append(f"{name}: the whole log is {runtime.log.relative_to(ROOT)}")
    print(*problems, f"{passed} passed, {failed} failed", sep="\n")
    return 1 if problems or not passed else 0


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-LOG_LINES_SHOWN:])


def main() -> int:
    """Test on each runtime, or print which one was used."""
    allowed = runtimes()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runtimes", nargs="*", metavar="RUNTIME", help=f"of {', '.join(allowed)}; all by default")
    parser.add_argument("--allow-missing", action="store_true", help="skip a runtime that is not available")
    parser.add_argument("--used", action="store_true", help="only print which Python runs this, and which is deployed")
    wanted = parser.parse_args()
    if unknown := set(wanted.runtimes) - set(allowed):
        parser.error(f"the template does not allow {', '.join(sorted(unknown))}")
    if wanted.used:
        print(used())
        return 0
    return test_all(wanted.runtimes or allowed, allow_missing=wanted.allow_missing)


if __name__ == "__main__":
    sys.exit(main())
