"""What one invocation of a function returned, logged and measured."""

import json
import logging
import sys
from dataclasses import dataclass, field
from typing import Any

from relay.telemetry import Telemetry


def write_to_stdout(telemetry: Telemetry) -> None:
    """Let a logger write where the current test captures it, not the first one of the process."""
    for handler in telemetry.logger.handlers:
        assert isinstance(handler, logging.StreamHandler)
        handler.stream = sys.stdout


@dataclass
class Run:
    """One invocation.

    Attributes:
        answer: What the handler returned.
        output: Everything that it wrote, as JSON lines.
        lines: The log lines among them.
        metrics: The metrics among them, in CloudWatch's embedded metric format.
    """

    answer: dict[str, Any]
    output: str
    lines: list[dict[str, Any]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for each in map(json.loads, self.output.splitlines()):
            (self.metrics if "_aws" in each else self.lines).append(each)

    @property
    def deliveries(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["message"] == "delivery"]

    @property
    def outcomes(self) -> list[str]:
        return [line["outcome"] for line in self.deliveries]

    @property
    def reason(self) -> str:
        """The reason of the only delivery."""
        (line,) = self.deliveries
        return str(line["reason"])

    @property
    def pauses(self) -> list[str]:
        """The causes that were logged for a closed gate, each once."""
        return sorted({line["cause"] for line in self.lines if line["message"] == "gate shut"})

    @property
    def failures(self) -> list[str]:
        """The log lines about something that could not be done."""
        return [line["message"] for line in self.lines if "could not be" in line["message"]]

    def metric(self, name: str) -> float:
        """The sum of a metric's values."""
        return sum(
            sum(each[name]) if isinstance(each[name], list) else each[name] for each in self.metrics if name in each
        )


class BackupRun(Run):
    """One invocation of `fetch_backups`."""

    @property
    def backups(self) -> list[dict[str, Any]]:
        """The log line of each backup that was handled."""
        return [line for line in self.lines if line["message"] == "backup"]

    @property
    def outcomes(self) -> list[str]:
        return [line["outcome"] for line in self.backups]

    @property
    def backup(self) -> dict[str, Any]:
        """The log line of the only backup."""
        (line,) = self.backups
        return line

    @property
    def summary(self) -> dict[str, Any]:
        (line,) = (line for line in self.lines if line["message"] == "backups")
        return line

    def counted(self, name: str) -> dict[str, float]:
        """The sum of a metric by the dimension of its own: the file type, or the cause."""
        found: dict[str, float] = {}
        for each in self.metrics:
            if name in each:
                (described,) = each["_aws"]["CloudWatchMetrics"]
                (dimensions,) = described["Dimensions"]
                (own,) = set(dimensions) - {"service"}
                assert (described["Namespace"], each["service"]) == ("StockTwitsRelay", "fetch_backups")
                found[each[own]] = found.get(each[own], 0) + sum(each[name])
        return found
