"""``make fuzz``: look for input that violates a property of `verification.fuzz.targets`, guided by coverage.

Needs ``requirements/fuzz.txt``; atheris has wheels for CPython 3.11 to 3.13 on x86-64 Linux. Interesting
inputs are kept under ``.local/fuzz-corpus``, where the next run continues; findings are under
``.local/fuzz-findings``. Replaying needs no atheris.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import time
from itertools import takewhile
from pathlib import Path

from verification.fuzz.targets import ROOT, TARGETS

CORPUS = ROOT / ".local" / "fuzz-corpus"
FINDINGS = ROOT / ".local" / "fuzz-findings"

HANG_SECONDS = 10
"""An input that takes longer is a finding: most take less than a millisecond."""

MEMORY_MEGABYTES = 1024
"""A process that uses more is a finding; normally it uses a tenth."""

_START_SECONDS = 60
_EXECUTED = re.compile(r"stat::number_of_executed_units: (\d+)")
_KEPT = re.compile(r"Test unit written to (\S+)")


def main() -> int:
    """Fuzz each target in turn, or replay an input; return 1 if something was found."""
    parser = argparse.ArgumentParser(
        prog="python -m verification.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=int, default=60, help="the time for all targets together (default: %(default)s)"
    )
    parser.add_argument("--only", choices=TARGETS, metavar="TARGET", help=f"one of {', '.join(TARGETS)}")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input through the target of `--only`")
    wanted = parser.parse_args()
    if wanted.replay:
        if not wanted.only:
            parser.error("--replay needs --only")
        TARGETS[wanted.only].run(wanted.replay.read_bytes())
        print(f"{wanted.only}: {wanted.replay} passes")
        return 0
    names = [wanted.only] if wanted.only else list(TARGETS)
    clean = [_fuzz(name, max(1, wanted.seconds // len(names))) for name in names]
    return 0 if all(clean) else 1


def _fuzz(name: str, seconds: int) -> bool:
    """Fuzz a target in its own process, which the fuzzer ends; print the result."""
    began = time.monotonic()
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "verification.fuzz.atheris_process", name, *_options(name, seconds)],
            cwd=ROOT,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds + HANG_SECONDS + _START_SECONDS,
        )
    except subprocess.TimeoutExpired:
        print(f"{name:8} did not end", flush=True)
        return False
    log = FINDINGS / f"{name}.log"
    log.write_text(ended.stdout)
    executed = _EXECUTED.search(ended.stdout)
    inputs = int(executed[1]) if executed else 0
    found = ended.returncode != 0 or not inputs
    verdict = "FOUND something" if found else "nothing found"
    print(f"{name:8} {inputs:>9,} inputs in {time.monotonic() - began:.0f} s: {verdict}", flush=True)
    if found:
        print(_finding(name, ended.stdout, log))
    return not found


def _options(name: str, seconds: int) -> list[str]:
    """Create the corpus, and return the fuzzer's options: https://llvm.org/docs/LibFuzzer.html#options."""
    target, corpus = TARGETS[name], CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    FINDINGS.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        (corpus / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    words = CORPUS / f"{name}.words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
    return [
        f"-max_total_time={seconds}",
        f"-timeout={HANG_SECONDS}",
        f"-rss_limit_mb={MEMORY_MEGABYTES}",
        f"-dict={words}",
        f"-artifact_prefix={FINDINGS}/{name}-",
        "-print_final_stats=1",
        str(corpus),
    ]


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _finding(name: str, output: str, log: Path) -> str:
    """Describe a finding, and how to reproduce it."""
    lines = output.splitlines()
    start = next((number for number, line in enumerate(lines) if "Uncaught Python exception" in line), len(lines) - 15)
    what = takewhile(lambda line: not line.startswith("=="), lines[max(0, start) :])
    kept = _KEPT.search(output)
    hint = f"See the log: {log}"
    if kept:
        file = Path(kept[1]).relative_to(ROOT)
        hint = (
            f"Reproduce it: PYTHONPATH=layers/relay .venv/bin/python -m verification.fuzz --only {name} --replay {file}"
        )
    return "\n".join(["", *(f"    {line}" for line in what if line.strip()), "", hint, ""])


if __name__ == "__main__":
    sys.exit(main())
