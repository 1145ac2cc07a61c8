"""The demo of backups: a nightly run that fills gaps and replaces what has changed, a backfill, and a query.

The real function, queue and schedule do the work; this module injects faults into Firestream, watches and compares.
"""

import gzip
import hashlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from local.demo.waiting import Waiting
from local.stack.logs import Logs
from local.stack.stack import Stack
from local.stand_ins import athena
from local.stand_ins.firestream.content import reissued
from local.stand_ins.firestream.data import FILE_TYPES
from local.stand_ins.firestream.days import Backup

LOOKBACK_DAYS = 7
FIRST_DAY, LAST_DAY = date(2016, 12, 1), date(2016, 12, 31)
QUESTION = "Most mentioned symbols"
ROWS_SHOWN = 5
MAX_WAIT_SECONDS = 150

File = tuple[str, date]


class BackupDemo:
    """Runs a night by hand, backfills a month, waits for a scheduled night, and compares."""

    def __init__(self, stack: Stack, console: Console) -> None:
        """Use a running stack."""
        self._stack = stack
        self._console = console
        self._s3 = stack.client("s3")
        self._bucket = stack.outputs["BackupBucketName"]
        self._logs = Logs(stack, "FetchBackupsLogs")
        self._lines: list[dict[str, Any]] = []
        today = datetime.now(UTC).date()
        self._window = [today - timedelta(days=age) for age in range(LOOKBACK_DAYS, 0, -1)]
        self._late: File = ("message", self._window[-1])
        self._truncated: File = ("message", self._window[1])
        self._corrupt: File = ("message", self._window[3])
        self._reissued: File = ("message", self._window[4])
        self._gaps: set[File] = {
            *((file_type, self._window[-1]) for file_type in FILE_TYPES),
            *((file_type, self._window[1]) for file_type in FILE_TYPES),
            self._corrupt,
        }

    def begin(self) -> None:
        """Run a night by hand, then a backfill until it is complete."""
        self._prepare()
        self._night()
        self._backfill()

    def end(self) -> bool:
        """Wait for a scheduled night, and show the archive; return whether it has exactly Firestream's files."""
        scheduled = self._scheduled_night()
        self._show_archive()
        self._query()
        failures = list(self._failures(scheduled))
        for failure in failures:
            self._console.print(Text(f"Not as expected: {failure}", style="bold red"))
        if not failures:
            self._console.print(
                f"\n[bold green]Every backup is complete:[/] {len(self._keys())} files, each identical to Firestream's."
            )
        return not failures

    def summary(self) -> Iterator[str]:
        """Count the files, and say what went wrong on the way and was healed."""
        yield f"{len(self._keys())} backups: each was verified, and stored whole."
        healed = {
            "a transfer that broke off, which was resumed": any(
                line["resumes"] for line in self._lines_of(self._truncated)
            ),
            "a damaged file, which was fetched again": self._stored(self._corrupt),
            "a file that came late": self._stored(self._late),
            "a file that Firestream replaced": any(
                "replaced" in line["remarks"] for line in self._lines_of(self._reissued)
            ),
        }
        yield f"Healed: {'; '.join(what for what, is_healed in healed.items() if is_healed) or 'nothing'}."

    def _prepare(self) -> None:
        """Fill the archive as earlier nights would have, and inject faults into the next files."""
        firestream = self._stack.firestream
        for day in self._window:
            for file_type in FILE_TYPES:
                if (file_type, day) not in self._gaps:
                    self._store(file_type, day)
        firestream.configure(missing=[self._late])
        firestream.fail("truncated", file_type=self._truncated[0], day=self._truncated[1], after=0.6)
        firestream.fail("flipped-byte", file_type=self._corrupt[0], day=self._corrupt[1])

    def _store(self, file_type: str, day: date) -> None:
        """Store a backup with its tags, as an earlier night would have; a re-issued one as it was at that time."""
        content = self._stack.firestream.content(file_type, day)
        if (file_type, day) == self._reissued:
            content = reissued("shorter", 0.5, content)
        tags = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "lines": len(gzip.decompress(content).splitlines()),
            "source-etag": Backup(content, modified=0).etag.strip('"'),
        }
        self._s3.put_object(Bucket=self._bucket, Key=_key(file_type, day), Body=content, Tagging=urlencode(tags))

    def _night(self) -> None:
        self._console.print(
            f"\n[bold]A nightly run[/]: {len(self._gaps)} of the last {LOOKBACK_DAYS} days' "
            f"{LOOKBACK_DAYS * len(FILE_TYPES)} files are missing. One transfer will break off, one file is damaged, "
            "one is not there yet, and Firestream has replaced one that is stored."
        )
        summary = self._invoke({"run": "nightly"})
        self._read_logs()
        for line in self._lines:
            if line["message"] == "backup" and line["outcome"] != "already_there":
                self._show_line(line)
        self._console.print(Text(f"  {_summary(summary)}", style="dim"))
        self._stack.firestream.configure(missing=[])  # the late file has arrived

    def _backfill(self) -> None:
        event = {"first_day": FIRST_DAY.isoformat(), "last_day": LAST_DAY.isoformat()}
        self._console.print(f"\n[bold]A backfill[/] of a month, {FIRST_DAY} to {LAST_DAY}")
        # These files are so small that few transfers would overlap: slow some of them down.
        self._stack.firestream.fail("stall", file_type="message", times=5, seconds=2)
        queued = self._invoke(event)["queued"]
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        fetched = 0
        with Waiting(self._console) as waiting:
            while fetched < queued and time.monotonic() < deadline:
                time.sleep(0.3)
                fetched = len(self._keys(f"/{FIRST_DAY:%Y/%m}/"))
                waiting.show(f"Waiting for the backfill: {fetched} of {queued} files are in the archive")
        self._console.print(
            f"  {fetched} of {queued} files are in the archive, fetched at most "
            f"{self._stack.firestream.most_at_once} at a time"
        )

    def _scheduled_night(self) -> dict[str, Any] | None:
        """Wait until a scheduled run has fetched the late file."""
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        with Waiting(self._console) as waiting:
            while time.monotonic() < deadline:
                self._read_logs()
                nights = [line for line in self._lines if line.get("run") == "nightly"][1:]
                if nights and self._stored(self._late):
                    night = next((each for each in nights if each["stored"]), nights[0])
                    self._console.print(f"\n[bold]A scheduled nightly run[/] at {night['timestamp'][11:19]} UTC")
                    self._console.print(Text(f"  {_summary(night)}", style="dim"))
                    return night
                waiting.show("Waiting for the nightly schedule, which runs every minute here")
                time.sleep(0.5)
        return None

    def _show_archive(self) -> None:
        self._console.print("\n[bold]The archive[/]")
        for file_type in FILE_TYPES:
            objects = [each for each in self._objects() if each["Key"].startswith(f"{file_type}/")]
            size = sum(each["Size"] for each in objects) / 1e6
            first, last = objects[0]["Key"].split("/")[1:4], objects[-1]["Key"].split("/")[1:4]
            self._console.print(
                f"  {file_type:<9}{len(objects):>3} days from {'-'.join(first)} to {'-'.join(last)}, {size:.1f} MB"
            )

    def _query(self) -> None:
        self._console.print(f"\n[bold]{QUESTION}[/] in December 2016 (a query of docs/athena.md; DuckDB runs it here)")
        self._answer = athena.answer(
            athena.documented()[QUESTION], athena.objects(self._s3, self._bucket), athena.tables()
        )
        for row in self._answer[:ROWS_SHOWN]:
            self._console.print("  " + "  ".join(f"{value!s:<8}" for value in row.values()))

    def _differences(self) -> Iterator[str]:
        """Compare the archive's newest versions with Firestream's files, and look for the version before."""
        month = [FIRST_DAY + timedelta(days=number) for number in range((LAST_DAY - FIRST_DAY).days + 1)]
        expected = {_key(each, day): (each, day) for each in FILE_TYPES for day in [*month, *self._window]}
        if set(self._keys()) != set(expected):
            yield f"the archive and Firestream differ in {sorted(set(self._keys()) ^ set(expected))}"
        for key in set(self._keys()) & set(expected):
            if self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read() != self._stack.firestream.content(
                *expected[key]
            ):
                yield f"{key} differs from Firestream's file"
        versions = self._s3.list_object_versions(Bucket=self._bucket, Prefix=_key(*self._reissued))["Versions"]
        if len(versions) != 2:  # noqa: PLR2004
            yield f"the archive has {len(versions)} versions of the re-issued file, not 2"
        if self._s3.list_multipart_uploads(Bucket=self._bucket).get("Uploads"):
            yield "an upload was not completed or aborted"

    def _failures(self, scheduled: dict[str, Any] | None) -> Iterator[str]:
        """Compare the archive with Firestream, and the log with the expected outcomes."""
        yield from self._differences()
        if not any(line["resumes"] for line in self._lines_of(self._truncated)):
            yield "the broken transfer was not resumed"
        if not any(line["outcome"] == "failed" for line in self._lines_of(self._corrupt)):
            yield "the damaged file was not refused"
        if not any(line["outcome"] == "not_yet" for line in self._lines_of(self._late)):
            yield "the late file was not reported as late"
        if not any("replaced" in line["remarks"] for line in self._lines_of(self._reissued)):
            yield "the re-issued file was not fetched"
        if self._stack.firestream.most_at_once == 1:
            yield "the transfers of the backfill did not overlap"
        if scheduled is None:
            yield "the schedule did not run"
        if not self._answer:
            yield "the query on the archive had no result"

    def _lines_of(self, file: File) -> list[dict[str, Any]]:
        wanted = ("backup", file[0], file[1].isoformat())
        return [line for line in self._lines if (line["message"], line.get("file_type"), line.get("day")) == wanted]

    def _stored(self, file: File) -> bool:
        return any(line["outcome"] == "stored" for line in self._lines_of(file))

    def _show_line(self, line: dict[str, Any]) -> None:
        good = line["outcome"] != "failed"
        details = f"{line['bytes']:,} bytes, {line['lines']:,} lines" if line["bytes"] else line["reason"]
        if line["resumes"]:
            details += ", resumed where it broke off"
        if "replaced" in line["remarks"]:
            details += ", in place of an older version, which is kept"
        head = (f"{line['file_type']} {line['day']}", line["outcome"].replace("_", " "))
        self._console.print(
            Text.assemble(("  ✓ " if good else "  ✗ ", "green" if good else "red"), (f"{head[0]}: ", "bold"), head[1])
        )
        self._console.print(Padding(Text(details), (0, 0, 0, 6), expand=False))

    def _read_logs(self) -> None:
        self._lines += [line for line in self._logs.new() if line.get("message") in {"backup", "backups"}]

    def _invoke(self, event: dict[str, str]) -> dict[str, Any]:
        answer = self._stack.client("lambda").invoke(
            FunctionName=self._stack.outputs["FetchBackupsFunctionName"], Payload=json.dumps(event)
        )
        result: dict[str, Any] = json.loads(answer["Payload"].read())
        return result

    def _objects(self) -> list[dict[str, Any]]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket)
        return [each for page in pages for each in page.get("Contents", [])]

    def _keys(self, part: str = "") -> list[str]:
        """Return the keys of backups, without those of notes and remarks."""
        keys = [each["Key"] for each in self._objects()]
        return [key for key in keys if key.startswith(tuple(f"{each}/" for each in FILE_TYPES)) and part in key]


def _key(file_type: str, day: date) -> str:
    return f"{file_type}/{day:%Y/%m/%d}/stocktwits_{file_type}_{day:%Y_%m_%d}.gz"


def _summary(summary: dict[str, Any]) -> str:
    names = ("stored", "replaced", "already_there", "not_yet", "absent", "failed", "queued")
    return ", ".join(f"{summary[name]} {name.replace('_', ' ')}" for name in names if summary[name])
