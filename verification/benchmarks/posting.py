"""Measure how close posting comes to the limit of StockTwits' own latency."""

import time
from dataclasses import dataclass
from statistics import median

from verification.benchmarks.fixtures import ALL_DONE, Fixtures, Side, an_event, check, interleaved
from verification.benchmarks.report import Section, Table, Target, milliseconds

ROUNDS = 9
MESSAGES = 100
LATENCY_SECONDS = 0.05
CONCURRENCY = 4
EFFICIENCY = 0.85

_HOW = f"""\
One invocation with {MESSAGES} alerts, in an execution environment that has posted one alert before. The stand-in
answers after {LATENCY_SECONDS * 1000:.0f} ms, so {CONCURRENCY} concurrent requests need at least
{MESSAGES // CONCURRENCY} times that. Efficiency is this minimum divided by the time from sending the event to receiving
the answer. Within this time the relay also claims and settles every alert in its ledger. The other side is
[the usual loop](../verification/benchmarks/usual_loop/app.py): `requests.post` for one alert after the other, without a
ledger; its minimum is {MESSAGES} times the latency. Medians of {ROUNDS} rounds."""


@dataclass(frozen=True)
class _Run:
    seconds: float
    connections: int


def measure(fixtures: Fixtures) -> Section:
    """Measure posting."""
    fixtures.stocktwits.configure(latency_seconds=LATENCY_SECONDS)
    ours, loop = sides = (fixtures.relay(POST_CONCURRENCY=str(CONCURRENCY)), fixtures.usual_loop())
    at_a_time = {ours.name: CONCURRENCY, loop.name: 1}
    runs: dict[str, list[_Run]] = {side.name: [] for side in sides}
    for number, side in interleaved(sides, ROUNDS):
        run = _one_invocation(fixtures, side)
        runs[side.name].append(run)
        efficiency = _minimum(at_a_time[side.name]) / run.seconds
        print(
            f"  posting {number + 1:>2}/{ROUNDS}  {side.name:<16}{milliseconds(run.seconds):>6} ms  {efficiency:.2f}",
            flush=True,
        )
    rows = []
    for name, done in runs.items():
        middle, minimum = median(run.seconds for run in done), _minimum(at_a_time[name])
        rows.append(
            [
                name,
                f"{minimum / middle:.2f}",
                f"{MESSAGES / middle:.0f}",
                str(max(run.connections for run in done)),
                milliseconds(middle),
                milliseconds(minimum),
            ]
        )
    middle = median(run.seconds for run in runs[ours.name])
    connections = max(run.connections for run in runs[ours.name])
    return Section(
        "Posting",
        _HOW,
        [Table(["Posting by", "efficiency", "posts a second", "connections", "median ms", "minimum ms"], rows)],
        [
            Target("Posting efficiency with the ledger", EFFICIENCY, _minimum(CONCURRENCY) / middle, at_least=True),
            Target("Connections opened for 100 posts", CONCURRENCY, connections, digits=0),
        ],
    )


def _one_invocation(fixtures: Fixtures, side: Side) -> _Run:
    first, event = an_event(1), an_event(MESSAGES)
    with side.container() as container:
        check(container.invoke(first) == ALL_DONE, f"{side.name} did not post its first alert:\n{container.log}")
        fixtures.stocktwits.reset()
        start = time.perf_counter()
        answer = container.invoke(event)
        seconds = time.perf_counter() - start
        check(answer == ALL_DONE, f"{side.name} answered {answer}:\n{container.log}")
    posts = len(fixtures.stocktwits.posts)
    check(posts == MESSAGES, f"{side.name} made {posts} posts")
    return _Run(seconds, fixtures.stocktwits.connections)


def _minimum(at_a_time: int) -> float:
    return -(-MESSAGES // at_a_time) * LATENCY_SECONDS
