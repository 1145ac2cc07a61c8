"""Measure reading a backup line by line, compared with the vendor's way."""

from statistics import median
from typing import TYPE_CHECKING

from verification.benchmarks import own_process
from verification.benchmarks.backup_files import MB, SMALL, backup_file
from verification.benchmarks.fixtures import check, interleaved
from verification.benchmarks.report import Section, Table, Target
from verification.benchmarks.ways.job import Job

if TYPE_CHECKING:
    from verification.benchmarks.own_process import Run

VENDOR, DICTS, TYPED = "read_vendor", "read_dicts", "read_typed"
WAYS = {
    DICTS: "`read_backup`, dicts",
    TYPED: "`read_backup`, typed",
    VENDOR: "the vendor's way",
}
ROUNDS = 9
DICTS_OF_VENDOR = 2.2
TYPED_OF_VENDOR = 4.5
TYPED_CPU_OF_VENDOR = 0.3
PEAK_MB = 40

_HOW = f"""\
A backup of {SMALL} MB, read from a file line by line, each run in its own process; imports are not counted. The
vendor's documentation uses `gzip.open` and `json.loads`. `read_backup` returns the same dicts, or, with `type=Message`,
typed messages with the most useful fields. A ratio is the median of the ratios in {ROUNDS} rounds; memory is the
maximum of all runs."""


def measure() -> Section:
    """Measure reading."""
    file = backup_file(SMALL)
    runs: dict[str, list[Run]] = {way: [] for way in WAYS}
    for number, way in interleaved(list(WAYS), ROUNDS):
        run = own_process.run(way, Job(str(file.path)), {})
        check(run.lines == file.lines, f"{way} found {run.lines} lines, not {file.lines}")
        runs[way].append(run)
        speed = file.lines / run.seconds / 1000
        print(f"  reading {number + 1}/{ROUNDS}  {WAYS[way]:<24}{speed:>6.0f} thousand lines/s", flush=True)
    speeds = {
        way: median(vendor.seconds / own.seconds for own, vendor in zip(runs[way], runs[VENDOR], strict=True))
        for way in WAYS
    }
    cpus = {
        way: median(own.cpu_seconds / vendor.cpu_seconds for own, vendor in zip(runs[way], runs[VENDOR], strict=True))
        for way in WAYS
    }
    peaks = {way: max(run.peak_bytes for run in runs[way]) / MB for way in WAYS}
    rows = [
        [
            name,
            f"{speeds[way]:.2f}",
            f"{cpus[way]:.2f}",
            f"{file.lines / median(run.seconds for run in runs[way]) / 1000:.0f}",
            f"{peaks[way]:.0f}",
        ]
        for way, name in WAYS.items()
    ]
    headings = ["Reading", "of the vendor's speed", "of its processor time", "thousand lines/s", "peak MB"]
    return Section(
        "Reading a backup",
        _HOW,
        [Table(headings, rows)],
        [
            Target("Reading dicts: speed, of the vendor's", DICTS_OF_VENDOR, speeds[DICTS], at_least=True),
            Target("Reading typed: speed, of the vendor's", TYPED_OF_VENDOR, speeds[TYPED], at_least=True),
            Target("Reading typed: processor time, of the vendor's", TYPED_CPU_OF_VENDOR, cpus[TYPED]),
            Target("Peak memory of reading, in MB", PEAK_MB, max(peaks[DICTS], peaks[TYPED]), digits=0),
        ],
    )
