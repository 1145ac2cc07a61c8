"""A vulnerability is never hidden, and a service that does not answer never looks like a pass."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.audit import Audit, audit, audit_all, main

PIP_AUDIT = """#!/bin/sh
file=${1#--requirement=}
echo "$file" >> "$(dirname "$0")/asked"
cat "$file.err" >&2
cat "$file.out"
exit "$(cat "$file.code")"
"""
CLEAN = {"name": "idna", "version": "3.20", "vulns": []}
UNKNOWN = {"name": "botocore", "skip_reason": "Dependency not found on PyPI and could not be audited: botocore (1.0)"}
VULNERABLE = {
    "name": "urllib3",
    "version": "1.26.0",
    "vulns": [
        {"id": "PYSEC-2021-108", "fix_versions": ["1.26.5"], "aliases": ["CVE-2021-33503"]},
        {"id": "GHSA-none", "fix_versions": [], "aliases": []},
    ],
}
TRACEBACK = "Traceback (most recent call last):\n  File x\n"
NO_ANSWER = TRACEBACK + "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='pypi.org', port=443): Max"


class Runs:
    """A fake pip-audit with prepared reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "pip-audit"
        self.program.write_text(PIP_AUDIT)
        self.program.chmod(0o700)

    def about(self, name: str, *packages: dict[str, Any], errors: str = "", code: int | None = None) -> Path:
        """Prepare its output for a file: a report, if there are packages, and errors."""
        file = self.folder / name
        vulnerable = any(each.get("vulns") for each in packages)
        file.with_name(f"{name}.out").write_text(json.dumps({"dependencies": packages}) if packages else "")
        file.with_name(f"{name}.err").write_text(errors + "\n")
        file.with_name(f"{name}.code").write_text(str(int(vulnerable) if code is None else code))
        return file

    @property
    def asked(self) -> list[str]:
        return [Path(line).name for line in (self.folder / "asked").read_text().splitlines()]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_a_file_without_a_vulnerability_passes_silently(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    file = runs.about("a.txt", CLEAN, errors="No known vulnerabilities found")
    assert main([file], program=runs.program) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("beside", [[], [CLEAN], [UNKNOWN]])
def test_a_vulnerability_fails_whatever_else_is_reported(
    runs: Runs, capsys: pytest.CaptureFixture[str], beside: list[Any], code: int
) -> None:
    file = runs.about("a.txt", *beside, VULNERABLE, code=code)
    assert main([file], program=runs.program) == 1
    err = capsys.readouterr().err
    assert f"{file}: urllib3 1.26.0 is vulnerable: PYSEC-2021-108 CVE-2021-33503, fixed in 1.26.5\n" in err
    assert "GHSA-none, fixed in no version\n" in err


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        (NO_ANSWER, "ConnectionError"),
        (TRACEBACK + "requests.exceptions.ReadTimeout: Read timed out. (read timeout=5)", "ReadTimeout"),
        (TRACEBACK + "urllib3.exceptions.ProtocolError: ('Connection broken', x)", "ProtocolError"),
        (TRACEBACK + "pip_audit._service.interface.ServiceError", "an error of its own"),
        ("ERROR:x:Could not connect\nERROR:x:Tip: your network may be blocking this service. Try", "no connection"),
    ],
)
def test_a_service_that_does_not_answer_passes_and_is_reported_in_one_line(
    runs: Runs, capsys: pytest.CaptureFixture[str], errors: str, kind: str
) -> None:
    file = runs.about("a.txt", errors=errors, code=1)
    assert main([file], program=runs.program) == 0
    expected = f"Nothing was audited for known vulnerabilities: the service did not answer ({kind})\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize(
    "errors",
    [
        "ERROR:pip_audit._cli:package boto3 has duplicate requirements: boto3==1",
        "ERROR:pip_audit._cli:invalid requirements input: a.txt",
        TRACEBACK + "pip_audit._service.interface.ServiceError: Received malformed version from PyPI: ['x']",
        NO_ANSWER + "\n" + TRACEBACK + "KeyError: 'vulns'",
        "",
    ],
)
@pytest.mark.parametrize("code", [0, 1])
def test_any_other_failure_of_pip_audit_fails(
    runs: Runs, capsys: pytest.CaptureFixture[str], errors: str, code: int
) -> None:
    file = runs.about("a.txt", errors=errors, code=code)
    assert main([file], program=runs.program) == 1
    assert f"{file}: pip-audit failed ({code}): {errors}" in capsys.readouterr().err


@pytest.mark.parametrize(("packages", "code"), [([CLEAN], 1), ([UNKNOWN], 2)])
def test_an_exit_code_that_the_report_does_not_explain_fails(runs: Runs, packages: list[Any], code: int) -> None:
    assert audit(runs.about("a.txt", *packages, code=code), program=runs.program).problems


def test_a_report_about_no_package_fails(runs: Runs) -> None:
    file = runs.about("a.txt")
    file.with_name("a.txt.out").write_text('{"dependencies": []}')
    assert audit(file, program=runs.program).problems


def test_packages_that_the_service_does_not_know_were_not_audited(runs: Runs) -> None:
    all_of_them = runs.about("all.txt", UNKNOWN, {**UNKNOWN, "name": "boto3"})
    assert audit(all_of_them, program=runs.program) == Audit(
        gap=f"the service does not know any of the 2 packages in {all_of_them}"
    )
    some = runs.about("some.txt", CLEAN, UNKNOWN)
    assert audit(some, program=runs.program) == Audit(1, gap=f"the service does not know botocore in {some}")


def test_a_pip_audit_that_does_not_end_has_no_answer(runs: Runs) -> None:
    runs.program.write_text("#!/bin/sh\nexec sleep 60\n")
    file = runs.about("a.txt")
    assert audit(file, program=runs.program, seconds=0.2) == Audit(
        gap=f"the service did not answer for {file} within 0.2 s"
    )


@pytest.mark.parametrize("first", [{"errors": NO_ANSWER, "code": 1}, {"package": UNKNOWN}])
def test_a_service_that_is_down_is_asked_once(runs: Runs, first: dict[str, Any]) -> None:
    packages = [first.pop("package")] if "package" in first else []
    files = [runs.about("a.txt", *packages, **first), runs.about("b.txt", CLEAN)]
    assert len(audit_all(files, program=runs.program)) == 1
    assert runs.asked == ["a.txt"]


def test_a_first_file_that_pip_audit_cannot_read_hides_no_vulnerability_in_the_next(
    runs: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [runs.about("a.txt", errors="ERROR:x:duplicate requirements", code=1), runs.about("b.txt", VULNERABLE)]
    assert main(files, program=runs.program) == 1
    assert "b.txt: urllib3 1.26.0 is vulnerable" in capsys.readouterr().err


@pytest.mark.parametrize("bad", ["a.txt", "b.txt", "c.txt"])
def test_a_vulnerability_in_any_of_the_files_fails_even_when_the_service_then_stops_answering(
    runs: Runs, capsys: pytest.CaptureFixture[str], bad: str
) -> None:
    names = ["a.txt", "b.txt", "c.txt"]
    files = [runs.about(name, VULNERABLE if name == bad else CLEAN) for name in names]
    files.append(runs.about("d.txt", errors=NO_ANSWER, code=1))
    assert main(files, program=runs.program) == 1
    assert sorted(runs.asked) == [*names, "d.txt"]
    err = capsys.readouterr().err
    assert f"{bad}: urllib3 1.26.0 is vulnerable" in err
    assert "Not everything was audited for known vulnerabilities: the service did not answer (ConnectionError)" in err
