"""Measure how long the webhook takes to answer in an execution environment that has answered before."""

import time
from statistics import median, quantiles

from verification.benchmarks.cold_start import is_taken
from verification.benchmarks.fixtures import ALL_DONE, Fixtures, Side, a_post, check, interleaved
from verification.benchmarks.report import Section, Table, Target

ROUNDS = 7
ANSWERS = 50
"""In each round, after the first one, which is cold."""

MOST_SECONDS = 0.1
"""A sender such as TradingView gives up after 3 s, in which the network and a cold start must fit, too."""

_HOW = f"""\
The time from sending an event to receiving the answer, in an execution environment that has answered one before: one
alert in JSON is authenticated, checked and sent to the Outbox. The median and the 99th percentile of {ROUNDS} rounds
with {ANSWERS} alerts each. What the runtime itself takes is shown by the empty function. In AWS, calls to SQS take
longer than here, and API Gateway adds a few milliseconds of its own."""


def measure(fixtures: Fixtures) -> Section:
    """Measure the relay, the usual recipe compiled, and an empty function."""
    ours, *_ = sides = (fixtures.relay_webhook(), fixtures.usual_webhook(compiled=True), fixtures.empty())
    times: dict[str, list[float]] = {side.name: [] for side in sides}
    for number, side in interleaved(sides, ROUNDS):
        times[side.name] += (answers := _answers(fixtures, side))
        print(f"  warm answer {number + 1}/{ROUNDS}  {side.name:<28}{1000 * median(answers):>6.1f} ms", flush=True)
    rows = [
        [name, f"{1000 * median(taken):.1f}", f"{1000 * quantiles(taken, n=100)[-1]:.1f}"]
        for name, taken in times.items()
    ]
    return Section(
        "Warm answer of the webhook",
        _HOW,
        [Table(["Answer of", "median ms", "99th percentile ms"], rows)],
        [
            Target(
                "Warm answer of the webhook, in ms",
                1000 * MOST_SECONDS,
                1000 * median(times[ours.name]),
                digits=1,
            )
        ],
    )


def _answers(fixtures: Fixtures, side: Side) -> list[float]:
    """Return how long each answer took, after the first one."""
    times = []
    fixtures.received()
    with side.container() as container:
        for _ in range(1 + ANSWERS):
            event = a_post()
            start = time.perf_counter()
            answer = container.invoke(event)
            times.append(time.perf_counter() - start)
            check(is_taken(answer) if side.layer else answer == ALL_DONE, f"{side.name} answered {answer}")
    received = fixtures.received()
    check(received == (1 + ANSWERS) * (side.layer is not None), f"{side.name} put {received} alerts into the Outbox")
    return times[1:]
