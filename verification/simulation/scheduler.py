"""Many workers on one thread, in simulated time: the seed decides which one continues, and when.

A task is a greenlet that runs until it waits. Where the real code waits (a call over the network, a sleep, a lock, an
empty queue), the scheduler chooses the next task, so that a seed gives the same run every time.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Self

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]  # it has no stubs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_TURNS = 500_000
"""After so many turns a day counts as endless."""


class Killed(BaseException):
    """The process was killed: its tasks end, and have no further effect."""


class Endless(Exception):
    """A run does not end."""


@dataclass(eq=False)
class Process:
    """Tasks that are killed together: a worker, or something outside that is never killed (not `mortal`)."""

    name: str
    mortal: bool = False
    alive: bool = True
    tasks: list[greenlet] = field(default_factory=list)


class Scheduler:
    """Runs tasks in the order of their times; the seed decides between equal times."""

    def __init__(self, seed: int, start: float, max_turns: int = MAX_TURNS) -> None:
        self._max_turns = max_turns
        self.random = Random(seed)
        self.now = start
        self._queue: list[tuple[float, float, int, Callable[[], Any]]] = []
        self._turns = 0
        self._processes: dict[greenlet, Process] = {}
        self._hub = getcurrent()

    @property
    def process(self) -> Process:
        """The process of the running task."""
        return self._processes[getcurrent()]

    def at(self, moment: float, action: Callable[[], Any]) -> None:
        """Do something at a moment, outside of all processes; it must not wait."""
        self._turns += 1
        heapq.heappush(self._queue, (max(moment, self.now), self.random.random(), self._turns, action))

    def start(self, process: Process, action: Callable[[], Any]) -> None:
        """Start a task of a process."""

        def run() -> None:
            try:
                action()
            except Killed:
                pass
            finally:
                process.tasks.remove(task)
                del self._processes[task]

        task = greenlet(run, parent=self._hub)
        self._processes[task] = process
        process.tasks.append(task)
        self.at(self.now, lambda: self._resume(task))

    def sleep(self, seconds: float) -> None:
        """Wait, while other tasks run."""
        self._check()
        task = getcurrent()
        self.at(self.now + seconds, lambda: self._resume(task))
        self._yield()

    def park(self) -> Callable[[], None]:
        """Return a function that wakes the current task, once; see `wait`."""
        sleeping = [getcurrent()]

        def wake() -> None:
            if sleeping:
                task = sleeping.pop()
                self.at(self.now, lambda: self._resume(task))

        return wake

    def wait(self) -> None:
        """Wait until the function that `park` returned is called."""
        self._yield()

    def kill(self, process: Process) -> None:
        """Kill a process between two effects: `finally` and `except` run, but any call in them raises `Killed`."""
        process.alive = False
        running = getcurrent()
        for task in list(process.tasks):
            if task is not running:
                self.at(self.now, partial(self._resume, task))
        if running in process.tasks:
            raise Killed

    def run(self, done: Callable[[], bool]) -> None:
        """Run until nothing is left to do, or `done` returns true.

        Raises:
            Endless: The run does not end.
        """
        while self._queue and not done():
            if self._turns > self._max_turns:
                raise Endless
            self.now, _, _, action = heapq.heappop(self._queue)
            action()

    def end(self) -> None:
        """End every waiting task, so that none is left to the garbage collector."""
        for process in set(self._processes.values()):
            process.alive = False
        for task in list(self._processes):
            self._resume(task)

    def _resume(self, task: greenlet) -> None:
        if task in self._processes:
            task.switch()

    def _yield(self) -> None:
        self._check()
        self._hub.switch()
        self._check()

    def _check(self) -> None:
        if not self.process.alive:
            raise Killed


class Lock:
    """`threading.Lock` for tasks."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._locked = False
        self._waiting: deque[Callable[[], None]] = deque()

    def __enter__(self) -> None:
        while self._locked:
            self._waiting.append(self._scheduler.park())
            self._scheduler.wait()
        self._locked = True

    def __exit__(self, *_: object) -> None:
        self._locked = False
        if self._waiting:
            self._waiting.popleft()()


class SimpleQueue:
    """`queue.SimpleQueue` for tasks."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._items: deque[Any] = deque()
        self._waiting: deque[Callable[[], None]] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)
        if self._waiting:
            self._waiting.popleft()()

    def get(self) -> Any:
        while not self._items:
            self._waiting.append(self._scheduler.park())
            self._scheduler.wait()
        return self._items.popleft()


class Pool:
    """`ThreadPoolExecutor` for tasks: as many tasks as it has threads, in the process that uses it."""

    def __init__(self, scheduler: Scheduler, threads: int) -> None:
        self._scheduler = scheduler
        self._threads = threads

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: `map` waits for its results."""

    def map(self, function: Callable[..., Any], *arguments: Iterable[Any]) -> Iterator[Any]:
        calls = deque(enumerate(zip(*arguments, strict=True)))
        results: dict[int, Any] = {}
        wanted = len(calls)
        wake = self._scheduler.park()

        def work() -> None:
            while calls:
                number, call = calls.popleft()
                try:
                    results[number] = (True, function(*call))
                except Exception as error:  # noqa: BLE001  raised when its result is read
                    results[number] = (False, error)
                if len(results) == wanted:
                    wake()

        for _ in range(min(self._threads, wanted)):
            self._scheduler.start(self._scheduler.process, work)
        if wanted:
            self._scheduler.wait()
        for number in range(wanted):
            succeeded, result = results[number]
            if not succeeded:
                raise result
            yield result
