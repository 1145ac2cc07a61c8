"""The clock that everything in a test shares, and Lambda's context on it."""

import time
from types import SimpleNamespace


class Clock:
    """A clock that stands still until it is moved; sleeping on it moves it."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds

    @property
    def module(self) -> SimpleNamespace:
        """A replacement for the module `time`."""
        return SimpleNamespace(time=self, sleep=self.forward, gmtime=time.gmtime, strftime=time.strftime)


class Context:
    """The context that Lambda passes to a handler."""

    aws_request_id = "8c5a4b9e-7a55-4f0e-9c3a-0d1f6f6b3a11"

    def __init__(self, clock: Clock, remaining_ms: float) -> None:
        self._clock = clock
        self._deadline = clock() + remaining_ms / 1000

    def get_remaining_time_in_millis(self) -> int:
        return max(0, round((self._deadline - self._clock()) * 1000))
