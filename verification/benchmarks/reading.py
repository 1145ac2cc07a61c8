"""Measure reading a backup line by line, compared with the vendor's way."""

from dataclasses import dataclass
from statistics import median

from local.stand_ins.firestream.data import ACTIVITY
from verification.benchmarks import own_process
from verification.benchmarks.backup_files import MB, SHORT_LINES, SMALL, BackupFile, backup_file
from verification.benchmarks.fixtures import check, interleaved
from verification.benchmarks.own_process import Run
from verification.benchmarks.report import Section, Table, Target
from verification.benchmarks.ways.job import Job

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
SHORT_DICTS_OF_VENDOR = 3.5
SHORT_TYPED_OF_VENDOR = 6.5
PEAK_MB = 40

_HOW = f"""\
A backup of {SMALL} MB of messages, and one of {SHORT_LINES} MB of activities, whose lines are short, read from a file
line by line, each run in its own process; imports are not counted. The vendor's documentation uses `gzip.open` and
`json.loads`. `read_backup` returns the same dicts, or, with a `type`, objects with the fields that are needed:
`Message`, with the most useful ones, or two of an activity's. A ratio is the median of the ratios in {ROUNDS} rounds;
memory is the maximum of all runs."""


@dataclass(frozen=True)
class _Runs:
    """All runs with one file, by the way."""

    file: BackupFile
    by_way: dict[str, list[Run]]

    def speed(self, way: str) -> float:
        """Return the speed of a way divided by the vendor's."""
        pairs = zip(self.by_way[way], self.by_way[VENDOR], strict=True)
        return median(vendor.seconds / own.seconds for own, vendor in pairs)

    def cpu(self, way: str) -> float:
        """Return the processor time of a way divided by the vendor's."""
        pairs = zip(self.by_way[way], self.by_way[VENDOR], strict=True)
        return median(own.cpu_seconds / vendor.cpu_seconds for own, vendor in pairs)

    def lines_a_second(self, way: str) -> float:
        return self.file.lines / median(run.seconds for run in self.by_way[way])

    def peak(self, way: str) -> float:
        """Return the peak memory of all runs, in MB."""
        return max(run.peak_bytes for run in self.by_way[way]) / MB


def measure() -> Section:
    """Measure reading."""
    messages, activities = (_measure(file) for file in (backup_file(SMALL), backup_file(SHORT_LINES, ACTIVITY)))
    return Section(
        "Reading a backup",
        _HOW,
        [_table(messages), _table(activities)],
        [
            Target("Reading dicts: speed, of the vendor's", DICTS_OF_VENDOR, messages.speed(DICTS), at_least=True),
            Target("Reading typed: speed, of the vendor's", TYPED_OF_VENDOR, messages.speed(TYPED), at_least=True),
            Target("Reading typed: processor time, of the vendor's", TYPED_CPU_OF_VENDOR, messages.cpu(TYPED)),
            Target(
                "Reading dicts of short lines: speed, of the vendor's",
                SHORT_DICTS_OF_VENDOR,
                activities.speed(DICTS),
                at_least=True,
            ),
            Target(
                "Reading typed short lines: speed, of the vendor's",
                SHORT_TYPED_OF_VENDOR,
                activities.speed(TYPED),
                at_least=True,
            ),
            Target(
                "Peak memory of reading, in MB",
                PEAK_MB,
                max(runs.peak(way) for runs in (messages, activities) for way in (DICTS, TYPED)),
                digits=0,
            ),
        ],
    )


def _measure(file: BackupFile) -> _Runs:
    runs = _Runs(file, {way: [] for way in WAYS})
    for number, way in interleaved(list(WAYS), ROUNDS):
        run = own_process.run(way, Job(str(file.path), file.file_type), {})
        check(run.lines == file.lines, f"{way} found {run.lines} lines, not {file.lines}")
        runs.by_way[way].append(run)
        done = f"{number + 1}/{ROUNDS}"
        speed = file.lines / run.seconds / 1000
        print(f"  reading {file.name} {done}  {WAYS[way]:<24}{speed:>6.0f} thousand lines/s", flush=True)
    return runs


def _table(runs: _Runs) -> Table:
    columns = ["of the vendor's speed", "of its processor time", "thousand lines/s", "peak MB"]
    rows = [
        [
            name,
            f"{runs.speed(way):.2f}",
            f"{runs.cpu(way):.2f}",
            f"{runs.lines_a_second(way) / 1000:.0f}",
            f"{runs.peak(way):.0f}",
        ]
        for way, name in WAYS.items()
    ]
    return Table([f"Reading {runs.file.name}", *columns], rows)
