"""Measure storing a backup from Firestream in S3, compared with the vendor's way and others."""

import json
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from local.processes import free_port
from local.stand_ins.firestream.data import ACTIVITY
from local.stand_ins.firestream.server import FirestreamStandIn
from verification.benchmarks import own_process
from verification.benchmarks.backup_files import LARGE, MB, SHORT_LINES, SMALL, BackupFile, backup_file
from verification.benchmarks.fixtures import check, interleaved
from verification.benchmarks.own_process import Run, serving
from verification.benchmarks.report import Section, Table, Target
from verification.benchmarks.ways.job import Job

RELAY, VENDOR, DECODE_LINES, DECODE = "store_relay", "store_vendor", "decode_lines", "decode"
WAYS = {
    RELAY: "the relay, verified",
    VENDOR: "the vendor's way",
    "store_curl": "`curl` into `aws s3 cp -`",
    "store_smart_open": "smart_open",
    DECODE_LINES: "a bare decode, lines counted",
    DECODE: "a bare decode",
}
ROUNDS = {SMALL: 9, LARGE: 5, SHORT_LINES: 9}

OF_VENDOR = {SMALL: 1.2, LARGE: 1.35}
OF_DECODE = {SMALL: 0.75, LARGE: 0.85}
CPU_OF_VENDOR = 0.8
SHORT_LINES_OF_DECODE = 0.4
SHORT_LINES_CPU_OF_VENDOR = 1.5
PEAK_OF_SMALL = 1.1
PEAK_MB = 110

_DAY = "2016-12-05"
_SECONDS = 10

_HOW = f"""\
One backup of messages, {SMALL} or {LARGE} MB of gzip (about 1 KB of text a line, compressed to a fifth), from the
stand-in for Firestream to a bucket. Each run has its own process, and so have the stand-in and an [S3 that discards
everything](../verification/benchmarks/null_s3.py), since emulators of S3 are slower than what is measured here. What a
process does once (imports, clients) is not counted, except for `aws`, which starts for each file. Speed is in MB of
gzip. A ratio is the median of the ratios in {ROUNDS[SMALL]} rounds for {SMALL} MB and {ROUNDS[LARGE]} for {LARGE}.
Processor time includes child processes; memory is the maximum of any process.

- **The relay** does what `fetch_backups` does with a request: it follows the link, decodes the whole file, checks the
  start and the end of each line before it completes the upload, and tags the object.
- [**The vendor's way**](../verification/benchmarks/ways/store_vendor.py) downloads as its documentation does, with
  `requests` in chunks of 1024 bytes to a file, and then calls `upload_file`. It verifies nothing, nor do the next two.
- **`curl -sL` into `aws s3 cp -`** and **smart_open** need no file.
- **A bare decode** reads the same file from this machine's disk cache, and decodes it into one reused buffer with isal,
  the fastest decoder for Python; it stores nothing. With lines counted (`buffer.count(b"\\n")`), it is the least that a
  check of the whole file must do.

The third table is for a backup of activities, in both formats that are known: about 140 bytes of text a line,
compressed to a ninth, so that {SHORT_LINES} MB hold almost as many lines as {LARGE} MB of messages. Checking a line
costs the same however short it is, and the other ways do not look at them: storing these takes the relay more time."""


@dataclass(frozen=True)
class Loopback:
    """Firestream's stand-in and an S3 that discards everything, each in its own process."""

    firestream_url: str
    s3_url: str

    def put(self, file: BackupFile) -> None:
        """Let Firestream have the file as the day's backup."""
        body = json.dumps({"file_type": file.file_type, "day": _DAY, "file": str(file.path)})
        _http(f"{self.firestream_url}/_standin/put", body.encode())

    def run(self, way: str, file: BackupFile, prefix: Sequence[str] = ()) -> Run:
        """Store the file in one way, or decode it; `prefix` is as for `own_process.run`."""
        before = self._received()
        login = (FirestreamStandIn.username, FirestreamStandIn.password)
        environment = {
            "AWS_ENDPOINT_URL": self.s3_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        job = Job(str(file.path), file.file_type, _DAY, self.firestream_url, *login)
        run = own_process.run(way, job, environment, prefix)
        stored = self._received() - before
        check(stored >= file.size or way in (DECODE, DECODE_LINES), f"{way} stored {stored} bytes of {file.size}")
        check(run.lines in (file.lines, 0), f"{way} found {run.lines} lines, not {file.lines}")
        return run

    def _received(self) -> int:
        return int(_http(f"{self.s3_url}/_received"))


@contextmanager
def open_loopback() -> Iterator[Loopback]:
    """Run Firestream's stand-in and the S3."""
    api, links, s3 = free_port(), free_port(), free_port()
    with (
        serving("local.stand_ins.firestream", ["--port", str(api), "--link-port", str(links)], [api, links]),
        serving("verification.benchmarks.null_s3", [str(s3)], [s3]),
    ):
        yield Loopback(f"http://127.0.0.1:{api}", f"http://127.0.0.1:{s3}")


@dataclass(frozen=True)
class _Runs:
    """All runs with one file, by the way."""

    file: BackupFile
    by_way: dict[str, list[Run]]

    def speed(self, way: str, of: str) -> float:
        """Return the speed of a way divided by that of another."""
        return self._ratio(of, way, lambda run: run.seconds)

    def cpu(self, way: str, of: str) -> float:
        """Return the processor time of a way divided by that of another."""
        return self._ratio(way, of, lambda run: run.cpu_seconds)

    def megabytes_a_second(self, way: str) -> float:
        return self.file.size / MB / median(run.seconds for run in self.by_way[way])

    def cpu_a_gigabyte(self, way: str) -> float:
        return median(run.cpu_seconds for run in self.by_way[way]) / (self.file.size / MB / 1000)

    def peak(self, way: str) -> float:
        """Return the peak memory of all runs, in MB."""
        return max(run.peak_bytes for run in self.by_way[way]) / MB

    def _ratio(self, way: str, of: str, what: Callable[[Run], float]) -> float:
        pairs = zip(self.by_way[way], self.by_way[of], strict=True)
        return median(what(one) / what(other) for one, other in pairs)


def measure() -> Section:
    """Measure storing."""
    files = [backup_file(SMALL), backup_file(LARGE), backup_file(SHORT_LINES, ACTIVITY)]
    with open_loopback() as loopback:
        small, large, short_lines = (_measure(loopback, file) for file in files)
    return Section(
        "Storing a backup",
        _HOW,
        [_table(runs) for runs in (small, large, short_lines)],
        [
            *(_at_least(runs, "the vendor's", VENDOR, OF_VENDOR[runs.file.megabytes]) for runs in (large, small)),
            *(
                _at_least(runs, "a bare decode's with lines counted", DECODE_LINES, limit)
                for runs, limit in (
                    (large, OF_DECODE[LARGE]),
                    (small, OF_DECODE[SMALL]),
                    (short_lines, SHORT_LINES_OF_DECODE),
                )
            ),
            *(
                Target(
                    f"Processor time of storing {runs.file.name}, of the vendor's",
                    limit,
                    runs.cpu(RELAY, VENDOR),
                )
                for runs, limit in (
                    (large, CPU_OF_VENDOR),
                    (small, CPU_OF_VENDOR),
                    (short_lines, SHORT_LINES_CPU_OF_VENDOR),
                )
            ),
            Target(
                f"Peak memory of storing {LARGE} MB, of that for {SMALL} MB",
                PEAK_OF_SMALL,
                large.peak(RELAY) / small.peak(RELAY),
            ),
            Target(
                f"Peak memory of storing {LARGE} MB, in MB",
                PEAK_MB,
                max(runs.peak(RELAY) for runs in (large, short_lines)),
                digits=0,
            ),
        ],
    )


def _measure(loopback: Loopback, file: BackupFile) -> _Runs:
    loopback.put(file)
    runs = _Runs(file, {way: [] for way in WAYS})
    rounds = ROUNDS[file.megabytes]
    for number, way in interleaved(list(WAYS), rounds):
        run = loopback.run(way, file)
        runs.by_way[way].append(run)
        speed = file.size / MB / run.seconds
        print(f"  storing {file.name} {number + 1}/{rounds}  {WAYS[way]:<30}{speed:>6.0f} MB/s", flush=True)
    return runs


def _table(runs: _Runs) -> Table:
    headings = [f"{runs.file.name} by", "of the vendor's speed", "of its processor time", "MB/s", "CPU s/GB", "peak MB"]
    rows = [
        [
            name,
            f"{runs.speed(way, VENDOR):.2f}",
            f"{runs.cpu(way, VENDOR):.2f}",
            f"{runs.megabytes_a_second(way):.0f}",
            f"{runs.cpu_a_gigabyte(way):.1f}",
            f"{runs.peak(way):.0f}",
        ]
        for way, name in WAYS.items()
    ]
    return Table(headings, rows)


def _at_least(runs: _Runs, other: str, way: str, limit: float) -> Target:
    return Target(f"Storing {runs.file.name} verified: speed, of {other}", limit, runs.speed(RELAY, way), at_least=True)


def _http(url: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=_SECONDS) as answer:
        content: bytes = answer.read()
    return content
