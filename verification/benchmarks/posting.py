"""How close posting comes to what StockTwits' own latency allows."""

import time
from dataclasses import dataclass
from statistics import median

from verification.benchmarks.fixtures import ALL_DONE, Ground, Side, an_event, check, interleaved
from verification.benchmarks.report import Bar, Section, Table, milliseconds

ROUNDS = 9
MESSAGES = 100
LATENCY_SECONDS = 0.05
CONCURRENCY = 4
EFFICIENCY = 0.85

_HOW = f"""\
One invocation with {MESSAGES} alerts, in a container that has posted one alert before. The stand-in answers after
{LATENCY_SECONDS * 1000:.0f} ms, so {CONCURRENCY} requests at a time cannot take less than
{MESSAGES // CONCURRENCY} times that; efficiency is this ceiling divided by the time from sending the event to the
container to having its answer. The relay claims and settles every alert in its ledger meanwhile. The other side is
[the usual loop](../verification/benchmarks/usual_loop/app.py): `requests.post` for one alert after the other, no
ledger; its own ceiling is {MESSAGES} times the latency. Medians of {ROUNDS} rounds."""


@dataclass(frozen=True)
class _Run:
    seconds: float
    connections: int


def measure(ground: Ground) -> Section:
    """Measure it."""
    ground.stocktwits.configure(latency_seconds=LATENCY_SECONDS)
    ours, loop = sides = (ground.relay(POST_CONCURRENCY=str(CONCURRENCY)), ground.usual_loop())
    at_a_time = {ours.name: CONCURRENCY, loop.name: 1}
    runs: dict[str, list[_Run]] = {side.name: [] for side in sides}
    for number, side in interleaved(sides, ROUNDS):
        run = _one_invocation(ground, side)
        runs[side.name].append(run)
        efficiency = _ceiling(at_a_time[side.name]) / run.seconds
        print(
            f"  posting {number + 1:>2}/{ROUNDS}  {side.name:<16}{milliseconds(run.seconds):>6} ms  {efficiency:.2f}",
            flush=True,
        )
    rows = []
    for name, done in runs.items():
        middle, ceiling = median(run.seconds for run in done), _ceiling(at_a_time[name])
        rows.append(
            [
                name,
                f"{ceiling / middle:.2f}",
                f"{MESSAGES / middle:.0f}",
                str(max(run.connections for run in done)),
                milliseconds(middle),
                milliseconds(ceiling),
            ]
        )
    middle = median(run.seconds for run in runs[ours.name])
    connections = max(run.connections for run in runs[ours.name])
    return Section(
        "Posting",
        _HOW,
        [Table(["Posting by", "efficiency", "posts a second", "connections", "median ms", "ceiling ms"], rows)],
        [
            Bar("Posting efficiency with the ledger", EFFICIENCY, _ceiling(CONCURRENCY) / middle, at_least=True),
            Bar("Connections opened for 100 posts", CONCURRENCY, connections, digits=0),
        ],
    )


def _one_invocation(ground: Ground, side: Side) -> _Run:
    first, event = an_event(1), an_event(MESSAGES)
    with side.container() as container:
        check(container.invoke(first) == ALL_DONE, f"{side.name} did not post its first alert:\n{container.log}")
        ground.stocktwits.reset()
        start = time.perf_counter()
        answer = container.invoke(event)
        seconds = time.perf_counter() - start
        check(answer == ALL_DONE, f"{side.name} answered {answer}:\n{container.log}")
    posts = len(ground.stocktwits.posts)
    check(posts == MESSAGES, f"{side.name} made {posts} posts")
    return _Run(seconds, ground.stocktwits.connections)


def _ceiling(at_a_time: int) -> float:
    return -(-MESSAGES // at_a_time) * LATENCY_SECONDS
