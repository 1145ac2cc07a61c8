"""What a function shows of its work: structured log lines, and metrics (EMF). Each half adds its own."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import single_metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aws_lambda_powertools.metrics import MetricUnit

NAMESPACE = "StockTwitsRelay"
"""The metrics' namespace in CloudWatch."""


class Telemetry:
    """One function's log and metrics."""

    def __init__(self, service: str, stack: str) -> None:
        """Name the function: ``service`` is a dimension of its metrics and a field of its log lines.

        What alarms look at has ``stack`` as its one dimension, so that another stack's functions do not set them off.
        """
        self.logger = Logger(service=service, location=None)  # all lines of a kind are logged in one place
        self.metrics = Metrics(namespace=NAMESPACE, service=service)
        self._service, self._stack = service, stack
        logging.getLogger("botocore").setLevel(logging.INFO)  # below, it logs answers, and a secret parameter is one

    @contextmanager
    def invocation(self, context: Any) -> Iterator[Callable[[], float]]:  # noqa: ANN401  it has no published type
        """Mark log lines with the request's id, and write the metrics at the end, whatever happened.

        Args:
            context: Lambda's context.

        Yields:
            A function that returns how many seconds the invocation may still run.
        """

        def seconds_left() -> float:
            return float(context.get_remaining_time_in_millis()) / 1000

        self.logger.append_keys(request_id=context.aws_request_id)
        try:
            yield seconds_left
        except Exception:
            self.logger.exception("the invocation failed")
            raise
        finally:
            if self.metrics.provider.metric_set:  # else the library warns, though an idle drain has nothing to count
                self.metrics.flush_metrics()

    def failures(self, lines: Sequence[str]) -> None:
        """Log what AWS did not do for single entries."""
        for line in lines:
            self.logger.warning(line)

    def count(self, name: str, unit: MetricUnit, value: float, **dimensions: str) -> None:
        """Write a metric at once, with dimensions of its own beside the function's."""
        with single_metric(name, unit, value, namespace=NAMESPACE) as metric:
            metric.add_dimension("service", self._service)
            for dimension, each in dimensions.items():
                metric.add_dimension(dimension, each)

    def for_alarm(self, name: str, unit: MetricUnit, value: float) -> None:
        """Write at once a metric of the whole stack, whichever function counts it: an alarm takes one metric."""
        with single_metric(name, unit, value, namespace=NAMESPACE) as metric:
            metric.add_dimension("stack", self._stack)
