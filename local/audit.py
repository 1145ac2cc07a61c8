"""Audit every pinned package with pip-audit: a vulnerability fails, a service that does not answer is reported.

pip-audit prints "No known vulnerabilities found" when the service knows none of the packages, and exits with the same
code for a vulnerability, a broken connection and a usage error. So its report and its last line of errors are read.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.build import ROOT

PIP_AUDIT = ROOT / ".local" / "scan" / "bin" / "pip-audit"
CACHE = ROOT / ".local" / "scan" / "audit-cache"

ANSWER_SECONDS = 5
"""How long the service may take to answer one request."""

FILE_SECONDS = 180.0
"""How long one file may take: pip-audit asks for one package after the other."""

FILES_AT_ONCE = 4


@dataclass(frozen=True)
class Audit:
    """The result for one file.

    Attributes:
        audited: How many of its packages the service knows.
        problems: What fails the audit: vulnerabilities, or an error of pip-audit.
        gap: What was not audited and why; empty when all was.
    """

    audited: int = 0
    problems: tuple[str, ...] = ()
    gap: str = ""


def audit(file: Path, *, program: Path = PIP_AUDIT, seconds: float = FILE_SECONDS) -> Audit:
    """Audit the packages that a file pins.

    Args:
        file: A requirements file with nothing but pinned versions; relative paths start at the project's root.
        program: pip-audit.
        seconds: How long it may take.
    """
    options = ["--format=json", "--desc=off", "--disable-pip", "--no-deps", "--progress-spinner=off"]
    options += [f"--timeout={ANSWER_SECONDS}", f"--cache-dir={CACHE}"]
    command = [str(program), f"--requirement={file}", *options]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return Audit(gap=f"the service did not answer for {file} within {seconds:g} s")
    if done.stdout:
        return _report(file, json.loads(done.stdout)["dependencies"], done.returncode)
    if kind := _no_answer(done.stderr):
        return Audit(gap=f"the service did not answer ({kind})")
    return Audit(problems=(f"{file}: pip-audit failed ({done.returncode}): {done.stderr.strip()}",))


def audit_all(files: Sequence[Path], *, program: Path = PIP_AUDIT) -> list[Audit]:
    """Audit several files: the first one alone, so that a service that is down is asked once."""
    first = audit(files[0], program=program)
    if not first.audited and not first.problems:
        return [first]
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        return [first, *pool.map(lambda file: audit(file, program=program), files[1:])]


def main(files: Sequence[Path], *, program: Path = PIP_AUDIT) -> int:
    """Print the problems, and in one line what was not audited; return 1 if there are problems."""
    audits = audit_all(files, program=program)
    problems = [problem for each in audits for problem in each.problems]
    gaps = dict.fromkeys(each.gap for each in audits if each.gap)
    for problem in problems:
        print(problem, file=sys.stderr)
    if gaps:
        how_much = "Not everything" if any(each.audited for each in audits) else "Nothing"
        print(f"{how_much} was audited for known vulnerabilities: {'; '.join(gaps)}", file=sys.stderr)
    return 1 if problems else 0


def _report(file: Path, packages: list[dict[str, Any]], code: int) -> Audit:
    """Read the report, which lists each package with its vulnerabilities, or with the reason why it was skipped."""
    audited = [each for each in packages if "skip_reason" not in each]
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    problems = [_vulnerability(file, each, found) for each in audited for found in each["vulns"]]
    if not problems and (code or not packages):
        problems = [f"{file}: pip-audit reports nothing about {len(packages)} packages, with exit code {code}"]
    gap = ""
    if skipped:
        those = f"{', '.join(skipped)} in" if audited else f"any of the {len(skipped)} packages in"
        gap = f"the service does not know {those} {file}"
    return Audit(len(audited), tuple(problems), gap)


def _vulnerability(file: Path, package: dict[str, Any], found: dict[str, Any]) -> str:
    names = " ".join([found["id"], *found["aliases"]])
    fixed = ", ".join(found["fix_versions"]) or "no version"
    return f"{file}: {package['name']} {package['version']} is vulnerable: {names}, fixed in {fixed}"


def _no_answer(errors: str) -> str:
    """Return the kind of failure if the service failed; an empty string if pip-audit did, or its usage was wrong."""
    last = errors.strip().rpartition("\n")[2]
    kind = last.partition(":")[0]
    if kind.startswith(("requests.exceptions.", "urllib3.exceptions.")):  # no connection, a broken one, or no JSON
        return kind.rpartition(".")[2]
    if last == "pip_audit._service.interface.ServiceError":  # 5xx; with a text it concerns a vulnerability
        return "an error of its own"
    return "no connection" if "your network may be blocking this service" in last else ""


if __name__ == "__main__":
    deployed = Path("layers/relay/requirements.txt")
    others = sorted(each.relative_to(ROOT) for each in (ROOT / "requirements").glob("*.txt"))
    sys.exit(main([deployed, *others]))
