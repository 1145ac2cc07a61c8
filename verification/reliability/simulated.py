"""Many days in simulated time, and the deliberate defects that they show: the section of the simulation."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from verification.reliability.page import Section, table
from verification.simulation.mutations import MUTATIONS
from verification.simulation.run import run

DAYS = 5_000
CHUNK = 50
SEARCH = 300
"""How many days a deliberate defect may stay hidden."""


def prove() -> Section:
    """Simulate, and write the section."""
    print(f"Simulating {DAYS:,} days", flush=True)
    met: Counter[str] = Counter()
    complaints: list[str] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for counts, broken in pool.map(partial(_days, count=CHUNK), range(0, DAYS, CHUNK)):
            met += counts
            complaints += broken
    rows = []
    for mutation, first in MUTATIONS.items():
        print(f"Looking for {mutation.__name__}", flush=True)
        found = ""
        for seed in range(first, first + SEARCH):
            with mutation():
                broken = run(seed, rough=seed % 2 == 0).violations
            if broken:
                found = broken[0]
                break
        else:
            complaints.append(f"{mutation.__name__}: nobody noticed")
        rows.append([_words(mutation.__doc__), _shortened(found)])
    text = f"""\
## Simulation

The real delivery, ledger, gate and both edges, between an SQS, a DynamoDB and a StockTwits in memory, in simulated
time (`tests/simulation`). SQS delivers twice, in no order, and lets deleted messages come back; DynamoDB throttles,
and its answers to writes that happened are lost; StockTwits fails in every way of the stand-in, accepts what it timed
out on minutes later, and shows a post on the stream minutes late. A seeded scheduler interleaves up to four workers,
and kills them between any two effects. `make simulate SEEDS=5000` does it again; `make simulate SEED=17` shows one
day.

{table(["", "in all"], [[name, count] for name, count in met.items()])}

{len(complaints)} promises broken. With each of these defects, put into the relay on purpose, the same days show it:

{table(["defect", "what is found"], rows)}
"""
    return Section.of(text, complaints)


def _days(first: int, count: int) -> tuple[Counter[str], list[str]]:
    """Live through so many days; what happened in them, and what should not have."""
    met: Counter[str] = Counter()
    broken = []
    for seed in range(first, first + count):
        day = run(seed)
        world = day.world
        met += Counter(
            {
                "days": 1,
                "messages published": len(world.published),
                "requests to StockTwits": len(world.stocktwits.requests),
                "calls of AWS": sum(each for name, each in world.network.calls.items() if "stocktwits" not in name),
                "workers killed": world.network.kills,
                "posts": len(world.stocktwits.timeline.posts) - len(world.day.said_by_hand),
                "dead letters, each with its reason": len(world.dead.messages),
            }
        )
        broken += [f"seed {seed}: {each}" for each in day.violations]
    return met, broken


def _words(documentation: str | None) -> str:
    return (documentation or "").rstrip(".")


def _shortened(words: str, most: int = 110) -> str:
    flat = words.replace("|", "/")
    return flat if len(flat) <= most else flat[: most - 1] + "…"
