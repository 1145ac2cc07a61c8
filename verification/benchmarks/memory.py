"""Measure what fetching a backup takes with the processors that Lambda gives for some memory, to choose the memory."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from verification.benchmarks.backup_files import MB, SMALL, backup_file
from verification.benchmarks.fixtures import interleaved
from verification.benchmarks.report import Section, Table, Target
from verification.benchmarks.storing import RELAY, open_loopback
from verification.prices import LAMBDA_GB_SECOND

if TYPE_CHECKING:
    from verification.benchmarks.own_process import Run

MEMORY_MB = (512, 768, 1024, 1769, 2048, 3008)
CHOSEN_MB = 1769
"""`MemorySize` of FetchBackupsFunction in template.yaml."""

MB_A_PROCESSOR = 1769
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"""

ROUNDS = 5
COST_OF_CHEAPEST = 1.2

_PERIOD = 20_000
"""Microseconds: within each, a process gets its share of time at once, and then waits."""

_VERSION_1, _VERSION_2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
_JOIN = 'echo $$ > "$0" && exec "$@"'

_HOW = f"""\
Lambda gives a function processors in proportion to its memory, [one for {MB_A_PROCESSOR}
MB](https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html), and bills memory times duration. The relay
stores {SMALL} MB of messages as above, in a control group of Linux that gives its process no more than this share of
the processors (`cpu.cfs_quota_us` in periods of {_PERIOD // 1000} ms; imports are not counted). Medians of {ROUNDS}
rounds. "Processors used" is processor time divided by duration: as far as the function computes all the time, it is
the share, and the difference is the error of holding the process to it. With more than one processor, the relay shares
this machine's {os.cpu_count()} with the stand-in and the S3. Prices are for a GB of memory and a second in us-east-1:
{LAMBDA_GB_SECOND["arm64"]:.10f} USD on arm64, {LAMBDA_GB_SECOND["x86_64"]:.10f} on x86_64. Both columns take the
duration on this machine, although the two architectures compute at different speeds."""

_CHOICE = f"""\
The function has {CHOSEN_MB} MB, which is one processor. Up to there, more memory makes it faster and no dearer; beyond,
it pays for a second processor that it uses in part. Where Firestream or the network is slower than the processor, it
would wait for less money with less memory, but that is a matter of cents for each TB."""

_NO_GROUPS = "Not measured: it takes root, and control groups with the processor's controller."


def measure() -> Section:
    """Measure each size of memory."""
    try:
        with _control_group(1):
            pass
    except OSError as error:
        print(f"  memory  {_NO_GROUPS} ({error})", flush=True)
        return Section("Memory of FetchBackupsFunction", _HOW, [], [], [_NO_GROUPS])
    file = backup_file(SMALL)
    runs: dict[int, list[Run]] = {memory: [] for memory in MEMORY_MB}
    with open_loopback() as loopback:
        loopback.put(file)
        for number, memory in interleaved(MEMORY_MB, ROUNDS):
            with _control_group(memory / MB_A_PROCESSOR) as prefix:
                run = loopback.run(RELAY, file, prefix)
            runs[memory].append(run)
            print(f"  memory {number + 1}/{ROUNDS}  {memory:>4} MB{run.seconds:>6.2f} s", flush=True)

    gigabytes = file.size / MB / 1000
    seconds = {memory: median(run.seconds for run in runs[memory]) / gigabytes for memory in MEMORY_MB}
    billed = {memory: seconds[memory] * memory / 1024 for memory in MEMORY_MB}
    rows = [
        [
            str(memory),
            f"{memory / MB_A_PROCESSOR:.2f}",
            f"{median(run.cpu_seconds / run.seconds for run in runs[memory]):.2f}",
            f"{seconds[memory]:.1f}",
            f"{billed[memory]:.1f}",
            *(f"{billed[memory] * price * 1000:.2f}" for price in LAMBDA_GB_SECOND.values()),
            f"{max(run.peak_bytes for run in runs[memory]) / MB:.0f}",
        ]
        for memory in MEMORY_MB
    ]
    prices = [f"USD a TB, {architecture}" for architecture in LAMBDA_GB_SECOND]
    headings = ["Memory in MB", "processors", "processors used", "s a GB", "GB-seconds a GB", *prices, "peak MB"]
    return Section(
        "Memory of FetchBackupsFunction",
        _HOW,
        [Table(headings, rows)],
        [
            Target(
                f"Price of fetching with {CHOSEN_MB} MB of memory, of the lowest",
                COST_OF_CHEAPEST,
                billed[CHOSEN_MB] / min(billed.values()),
            )
        ],
        [_CHOICE],
    )


@contextmanager
def _control_group(processors: float) -> Iterator[list[str]]:
    """Make a control group with so many processors; yield what runs a command in it.

    Raises:
        OSError: There are none, or they are not ours to make.
    """
    parent = _VERSION_1 if _VERSION_1.is_dir() else _VERSION_2
    group = Path(tempfile.mkdtemp(prefix="relay-bench-", dir=parent))
    try:
        quota = round(processors * _PERIOD)
        if parent == _VERSION_1:
            _write(group / "cpu.cfs_period_us", f"{_PERIOD}")
            _write(group / "cpu.cfs_quota_us", f"{quota}")
        else:
            _write(group / "cpu.max", f"{quota} {_PERIOD}")
        yield ["sh", "-c", _JOIN, str(group / "cgroup.procs")]
    finally:
        group.rmdir()


def _write(file: Path, value: str) -> None:
    """Write to a file that is there: in a folder that is none of the kernel's, it would be made."""
    with file.open("r+") as opened:
        opened.write(value)
