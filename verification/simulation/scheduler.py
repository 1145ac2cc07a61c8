"""Many workers on one thread, in simulated time: the seed decides who goes on, and when.

A task is a greenlet that runs until it waits. Whatever waits in the real code (a call over the network, a sleep, a lock
that is held, an empty queue) lets the scheduler choose who is next, so that a seed gives the same run every time.
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

TURNS = 500_000
"""After so many turns a day is held to be endless."""


class Killed(BaseException):
    """The process is gone: nothing of it runs any more, and nothing it still does has an effect."""


class Endless(Exception):
    """A run does not come to its end."""


@dataclass(eq=False)
class Process:
    """What dies together: a container of a function, or something outside that never dies."""

    name: str
    mortal: bool = False
    alive: bool = True
    tasks: list[greenlet] = field(default_factory=list)


class Scheduler:
    """Runs tasks in the order of their moments; of two with one moment, the one that the seed prefers."""

    def __init__(self, seed: int, start: float, turns: int = TURNS) -> None:
        self._most_turns = turns
        self.random = Random(seed)
        self.now = start
        self._queue: list[tuple[float, float, int, Callable[[], Any]]] = []
        self._turns = 0
        self._processes: dict[greenlet, Process] = {}
        self._hub = getcurrent()

    @property
    def process(self) -> Process:
        """The process that is running now."""
        return self._processes[getcurrent()]

    def at(self, moment: float, what: Callable[[], Any]) -> None:
        """Do something at a moment, outside of any process; it must not wait."""
        self._turns += 1
        heapq.heappush(self._queue, (max(moment, self.now), self.random.random(), self._turns, what))

    def start(self, process: Process, what: Callable[[], Any]) -> None:
        """Start a task of a process."""

        def run() -> None:
            try:
                what()
            except Killed:
                pass
            finally:
                process.tasks.remove(task)
                del self._processes[task]

        task = greenlet(run, parent=self._hub)
        self._processes[task] = process
        process.tasks.append(task)
        self.at(self.now, lambda: self._go_on(task))

    def sleep(self, seconds: float) -> None:
        """Let others go on for a while."""
        self._check()
        task = getcurrent()
        self.at(self.now + seconds, lambda: self._go_on(task))
        self._give_way()

    def park(self) -> Callable[[], None]:
        """Return what wakes the current task, once; `wait` waits for it."""
        sleepers = [getcurrent()]

        def wake() -> None:
            if sleepers:
                task = sleepers.pop()
                self.at(self.now, lambda: self._go_on(task))

        return wake

    def wait(self) -> None:
        """Wait until somebody calls what `park` gave."""
        self._give_way()

    def kill(self, process: Process) -> None:
        """End a process between two effects: `finally` and `except` run, but whatever they call raises `Killed`."""
        process.alive = False
        running = getcurrent()
        for task in list(process.tasks):
            if task is not running:
                self.at(self.now, partial(self._go_on, task))
        if running in process.tasks:
            raise Killed

    def run(self, done: Callable[[], bool]) -> None:
        """Run until nothing is left to do, or `done` says so.

        Raises:
            Endless: It does not end.
        """
        while self._queue and not done():
            if self._turns > self._most_turns:
                raise Endless
            self.now, _, _, what = heapq.heappop(self._queue)
            what()

    def end(self) -> None:
        """End every task that still waits, so that none is left to the garbage collector."""
        for process in set(self._processes.values()):
            process.alive = False
        for task in list(self._processes):
            self._go_on(task)

    def _go_on(self, task: greenlet) -> None:
        if task in self._processes:
            task.switch()

    def _give_way(self) -> None:
        self._check()
        self._hub.switch()
        self._check()

    def _check(self) -> None:
        if not self.process.alive:
            raise Killed


class Lock:
    """`threading.Lock` among tasks."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._held = False
        self._waiting: deque[Callable[[], None]] = deque()

    def __enter__(self) -> None:
        while self._held:
            self._waiting.append(self._scheduler.park())
            self._scheduler.wait()
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False
        if self._waiting:
            self._waiting.popleft()()


class Slots:
    """`queue.SimpleQueue` among tasks."""

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
    """`ThreadPoolExecutor` among tasks: as many tasks as it has threads, of the process that uses it."""

    def __init__(self, scheduler: Scheduler, threads: int) -> None:
        self._scheduler = scheduler
        self._threads = threads

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to shut down: `map` waits for its results."""

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
                except Exception as error:  # noqa: BLE001  given to whoever asks for the result
                    results[number] = (False, error)
                if len(results) == wanted:
                    wake()

        for _ in range(min(self._threads, wanted)):
            self._scheduler.start(self._scheduler.process, work)
        if wanted:
            self._scheduler.wait()
        for number in range(wanted):
            good, result = results[number]
            if not good:
                raise result
            yield result
