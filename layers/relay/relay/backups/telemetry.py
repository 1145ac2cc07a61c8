"""The telemetry of backups: a log line for each one fetched, one for a run, and metrics for each file type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import MetricUnit

from relay.backups.backup import Remark
from relay.backups.fetcher import Result
from relay.telemetry import Telemetry

if TYPE_CHECKING:
    from datetime import date

    from relay.backups.fetcher import Outcome
    from relay.backups.runs import Run

_METRIC = {Result.STORED: "BackupsStored", Result.NOT_YET: "BackupsNotYet", Result.FAILED: "BackupsFailed"}
_METRIC_OF_REMARK = {
    Remark.ODD: "BackupsOdd",
    Remark.FEW_LINES: "BackupsFewLines",
    Remark.REPLACED: "BackupsReplaced",
}


class BackupTelemetry(Telemetry):
    """The log and metrics of the function that fetches backups."""

    def backup(self, outcome: Outcome) -> None:
        """Log what became of a backup, and count it."""
        backup = outcome.backup
        log = self.logger.warning if outcome.notable else self.logger.info
        log(
            "backup",
            extra={
                "file_type": backup.file_type if backup else None,
                "day": backup.day.isoformat() if backup else None,
                "outcome": str(outcome.result),
                "reason": outcome.reason,
                "buried": outcome.dead_lettered,
                "status_code": outcome.status,
                "bytes": outcome.bytes,
                "lines": outcome.lines,
                "resumes": outcome.resumes,
                "late": outcome.late,
                "remarks": [str(each) for each in outcome.remarks],
            },
        )
        file_type = backup.file_type if backup else "unknown"
        if outcome.result in _METRIC:
            self.count(_METRIC[outcome.result], MetricUnit.Count, 1, file_type=file_type)
        for remark in outcome.remarks:
            self.count(_METRIC_OF_REMARK[remark], MetricUnit.Count, 1, file_type=file_type)
        if outcome.kept:
            self.count("BackupsDamaged", MetricUnit.Count, 1, file_type=file_type)
        if outcome.bytes:
            self.count("BackupBytes", MetricUnit.Bytes, outcome.bytes, file_type=file_type)
        if outcome.pause:
            self.count("FirestreamRefused", MetricUnit.Count, 1, reason=outcome.pause.cause)
            self.for_alarm("NeedsAPerson", MetricUnit.Count, 1)

    def run(self, run: Run, today: date) -> None:
        """Log what became of a run, and how old the newest backups are."""
        log = self.logger.warning if run.stopped else self.logger.info
        log("backups", extra={"run": run.name, **run.summary()})
        for file_type, newest in run.newest.items():
            if newest:
                self.count("NewestBackupAgeDays", MetricUnit.Count, (today - newest).days, file_type=file_type)
        if run.days_beyond_lag is not None:
            self.for_alarm("BackupDaysBeyondLag", MetricUnit.Count, run.days_beyond_lag)
