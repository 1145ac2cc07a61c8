"""`make test-runtimes`: each runtime that the template allows is tested, or reported as missing."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local import runtimes
from local.build import ROOT, deployed_runtime
from local.runtimes import MissingError, RunResult

# --- What pytest printed


def report(*cases: str) -> str:
    return f'<testsuites><testsuite name="pytest">{"".join(cases)}</testsuite></testsuites>'


def case(name: str, inside: str = "") -> str:
    return f'<testcase classname="tests.unit.posting.test_alert" name="{name}">{inside}</testcase>'


PASSED = case("test_that_passed")


def read(folder: Path, xml: str | None, code: int) -> RunResult:
    log = folder / "log"
    log.write_text("collecting ...\nINTERNALERROR\n")
    if xml:
        (folder / "report.xml").write_text(xml)
    return runtimes.read(folder / "report.xml", code, log)


def test_a_report_has_the_passed_tests_and_names_the_failed_ones(tmp_path: Path) -> None:
    xml = report(PASSED, PASSED, case("test_a", "<failure/>"), case("test_b", "<error/>"), case("test_c", "<skipped/>"))
    assert read(tmp_path, xml, 1) == RunResult(
        2, ["tests.unit.posting.test_alert.test_a", "tests.unit.posting.test_alert.test_b"], 1
    )


def test_a_test_that_fails_and_whose_teardown_fails_is_one_failure(tmp_path: Path) -> None:
    assert len(read(tmp_path, report(case("test_a", "<failure/>"), case("test_a", "<error/>")), 1).failures) == 1


@pytest.mark.parametrize(
    ("xml", "code", "words"),
    [
        (None, 4, "pytest did not finish (4)"),
        (report(PASSED), 2, "pytest exited with 2"),
        (report(PASSED), -9, "pytest exited with -9"),
        (report(PASSED), 1, "pytest exited with 1"),
        (report(), 0, "no test was run"),
    ],
    ids=["no report", "interrupted", "killed", "failed without a test", "empty"],
)
def test_tests_that_did_not_finish_have_failed(tmp_path: Path, xml: str | None, code: int, words: str) -> None:
    (failure,) = read(tmp_path, xml, code).failures
    assert failure.startswith(words)
    assert "INTERNALERROR" in failure or not code


# --- A line for each


class Machine:
    """A machine with some runtimes, and prepared results of their tests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ends: dict[str, RunResult] = {}
        self.prepared: list[str] = []
        machine = self

        class Runtime:
            version = "3.12.1"
            log = ROOT / ".local" / "runtimes" / "log"

            def __init__(self, name: str) -> None:
                if name not in machine.ends:
                    raise MissingError("there is none")
                self.name = name

            def prepare(self) -> None:
                machine.prepared.append(self.name)

            def test(self) -> RunResult:
                return machine.ends[self.name]

        monkeypatch.setattr(runtimes, "Runtime", Runtime)

    def tests(self, *names: str, allow_missing: bool = False) -> int:
        return runtimes.test_all(names, allow_missing=allow_missing)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_a_run_in_which_everything_passes_succeeds(machine: Machine, capsys: Any) -> None:
    machine.ends = {"python3.11": RunResult(5, []), "python3.12": RunResult(5, [])}
    assert machine.tests("python3.11", "python3.12") == 0
    assert capsys.readouterr().out.splitlines() == [
        "python3.11  3.12.1        5 passed    0 failed     0 s",
        "python3.12  3.12.1        5 passed    0 failed     0 s",
        "10 passed, 0 failed",
    ]
    assert machine.prepared == ["python3.11", "python3.12"]


def test_a_test_that_fails_on_one_runtime_fails_the_run_and_is_named_at_its_end(machine: Machine, capsys: Any) -> None:
    machine.ends = {"python3.11": RunResult(4, ["test_a"]), "python3.12": RunResult(5, [])}
    assert machine.tests("python3.11", "python3.12") == 1
    assert capsys.readouterr().out.splitlines()[2:] == [
        "python3.11: test_a",
        "python3.11: the whole log is .local/runtimes/log",
        "9 passed, 1 failed",
    ]


def test_a_runtime_that_is_missing_fails_the_run_by_name_and_the_others_are_tested(
    machine: Machine, capsys: Any
) -> None:
    machine.ends = {"python3.12": RunResult(5, [])}
    assert machine.tests("python3.11", "python3.12") == 1
    output = capsys.readouterr().out
    assert output.startswith("python3.11  not available: there is none\npython3.12  3.12.1        5 passed")
    assert "python3.11 was not tested (ALLOW_MISSING=1 skips a runtime that is not available)." in output


def test_a_runtime_may_be_missing_where_that_is_allowed(machine: Machine, capsys: Any) -> None:
    machine.ends = {"python3.12": RunResult(5, [])}
    assert machine.tests("python3.11", "python3.12", allow_missing=True) == 0
    assert "python3.11  not available: there is none" in capsys.readouterr().out


def test_a_run_without_any_runtime_is_a_failure(machine: Machine) -> None:
    assert machine.tests("python3.11", allow_missing=True) == 1


def test_a_skipped_test_shows() -> None:
    assert "  2 skipped" in runtimes.line("python3.12", "3.12.1", RunResult(5, [], 2), 1)


def test_a_runtime_that_the_template_does_not_allow_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["runtimes", "python3.9"])
    with pytest.raises(SystemExit):
        runtimes.main()
    assert "the template does not allow python3.9" in capsys.readouterr().err


# --- The end of `make test`


def test_the_last_line_says_that_the_deployed_runtime_was_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "HOST_RUNTIME", deployed_runtime())
    assert runtimes.used().endswith(f": the template deploys {deployed_runtime()}.")


def test_the_last_lines_say_that_another_one_was_and_how_to_test_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "HOST_RUNTIME", "python3.10")
    first, second = runtimes.used().splitlines()
    assert first.endswith(f", but the template deploys {deployed_runtime()}.")
    assert f"PYTHON=/path/to/{deployed_runtime()}" in second


# --- A Python of Debian's


class Debian:
    """A folder of the project on a machine with these programs, which record their arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "asked.log"
        self.root = folder / ".local" / "debian" / "forky"
        self.tools = folder / "tools"
        self.tools.mkdir()
        (folder / "local").symlink_to(ROOT / "local")
        for name in ("sh", "sed", "tr", "grep", "head", "tail", "mkdir", "rm", "mv", "cp", "env", "ls", "sort"):
            (self.tools / name).symlink_to(shutil.which(name) or "")
        self.has("id", "echo 0")
        self.has("apt-get", 'case $1 in indextargets) echo "http://mirror.example/debian" ;; esac')
        self.has("apt-config")
        self.has("debootstrap", 'mkdir -p "$5/etc/ssl/certs"')
        self.has("chroot")
        self.has("unshare")
        self.authorities = folder / "authorities.pem"
        self.authorities.write_text("ours")

    def has(self, name: str, script: str = "") -> None:
        path = self.tools / name
        path.write_text(f'#!/bin/sh\necho {name} "$@" >> {self.log}\n{script}\n')
        path.chmod(0o755)

    def runs(
        self, *command: str, runtime: str = "python3.14", **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", "local/debian_python.sh", runtime, *command],
            cwd=self.folder,
            env={
                "PATH": str(self.tools),
                "PYTHON": sys.executable,
                "SSL_CERT_FILE": str(self.authorities),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def asked(self, program: str) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [each for each in lines if each.startswith(f"{program} ")]


@pytest.fixture
def debian(tmp_path: Path) -> Debian:
    return Debian(tmp_path)


def test_debian_is_fetched_once_from_apts_mirror_and_its_signature_is_checked(debian: Debian) -> None:
    for _ in range(2):
        done = debian.runs("python", "--version")
        assert done.returncode == 0, done.stderr
    (asked,) = debian.asked("debootstrap")
    assert asked == (
        "debootstrap --force-check-gpg --variant=minbase --include=python3.14,python3.14-venv,ca-certificates "
        f"forky {debian.root}.part http://mirror.example/debian sid"
    )
    assert (debian.root / "etc/ssl/certs/ca-certificates.crt").read_text() == "ours"


def test_a_command_runs_in_its_own_mount_namespace_with_a_clean_environment(debian: Debian) -> None:
    debian.runs("pytest", "tests", AWS_SECRET_ACCESS_KEY="of mine", PIP_INDEX_URL="https://index.example/simple")
    (asked,) = debian.asked("unshare")
    assert asked.startswith("unshare --mount --propagation private ")
    output = debian.log.read_text()
    assert f"{debian.root} env -i " in output
    assert "PYTHON=/opt/python/bin/python " in output
    assert "PIP_INDEX_URL=https://index.example/simple" in output
    assert output.rstrip().endswith(f"{debian.folder} pytest tests")
    assert "of mine" not in output


def ordinary(debian: Debian) -> None:
    debian.has("id", "echo 1000")


def no_apt(debian: Debian) -> None:
    (debian.tools / "apt-get").unlink()


def no_package(debian: Debian) -> None:
    debian.has("apt-get", 'echo "E: Unable to locate package debootstrap" >&2; exit 100')


def no_mirror(debian: Debian) -> None:
    debian.has("apt-get")


def bad_signature(debian: Debian) -> None:
    debian.has("debootstrap", 'mkdir "$5"; echo "E: Invalid Release signature"; exit 1')


def no_venv(debian: Debian) -> None:
    debian.has("chroot", "echo 'No module named venv'; exit 1")


@pytest.mark.parametrize(
    ("without", "words"),
    [
        (ordinary, "Debian's is fetched for root alone."),
        (no_apt, "no apt-get to have Debian's."),
        (no_package, "apt-get cannot install debootstrap: E: Unable to locate package debootstrap"),
        (no_mirror, "apt has no mirror of Debian"),
        (bad_signature, "cannot make a Debian with python3.14: E: Invalid Release signature"),
        (no_venv, "cannot make a Debian with python3.14: No module named venv"),
    ],
)
def test_a_debian_that_cannot_be_made_is_reported_in_a_line_and_never_used(
    debian: Debian, without: Callable[[Debian], None], words: str
) -> None:
    without(debian)
    done = debian.runs("python", "--version")
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr.splitlines()[-1]
    assert not debian.root.exists()


def test_debian_is_not_asked_for_a_python_that_it_does_not_have(debian: Debian) -> None:
    done = debian.runs("python", "--version", runtime="python3.12")
    assert (done.returncode, "No python3.12 on PATH or in pyenv's folders" in done.stderr) == (1, True)
    assert debian.asked("debootstrap") == []


def test_a_runtime_that_is_nowhere_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runtimes, "HOME", tmp_path)
    monkeypatch.setattr(runtimes, "interpreter", lambda _: None)
    with pytest.raises(MissingError, match=r"No python3\.12 on PATH or in pyenv's folders"):
        runtimes.Runtime("python3.12")


def test_a_runtime_that_is_here_is_asked_for_its_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runtimes, "HOME", tmp_path)
    monkeypatch.setattr(runtimes, "interpreter", lambda _: Path(sys.executable))
    assert runtimes.Runtime("python3.12").version == ".".join(map(str, sys.version_info[:3]))
