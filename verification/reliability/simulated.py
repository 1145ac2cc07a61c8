"""The section about the simulation: many days in simulated time, and the deliberate defects that they find."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from verification.reliability.page import Section, table
from verification.simulation.mutations import MUTATIONS
from verification.simulation.rule_mutations import RULE_MUTATIONS
from verification.simulation.run import run

DAYS = 5_000
CHUNK = 50
SEARCH = 300
"""The number of days within which a deliberate defect must be found."""


def prove() -> Section:
    """Run the simulation, and write the section."""
    print(f"Simulating {DAYS:,} days", flush=True)
    totals: Counter[str] = Counter()
    violations: list[str] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for counts, violated in pool.map(partial(_days, count=CHUNK), range(0, DAYS, CHUNK)):
            totals += counts
            violations += violated
    rows = []
    for mutation, first in (MUTATIONS | RULE_MUTATIONS).items():
        ruled = mutation in RULE_MUTATIONS
        print(f"Looking for {mutation.__name__}", flush=True)
        found = ""
        for seed in range(first, first + SEARCH):
            with mutation():
                violated = run(seed, rough=seed % 2 == 0, ruled=ruled).violations
            if violated:
                found = violated[0]
                break
        else:
            violations.append(f"{mutation.__name__} was not found")
        rows.append([_title(mutation.__doc__), _shortened(found)])
    text = f"""\
## Simulation

The real delivery, ledger, gate and both handlers run in simulated time, with SQS, DynamoDB and StockTwits in memory
(`verification/simulation`). SQS delivers messages twice and out of order, and delivers deleted messages again. DynamoDB
throttles, and loses the answers to completed writes. StockTwits fails in every way that the stand-in can, accepts
requests minutes after they timed out, and shows posts on the stream minutes late. A seeded scheduler interleaves up to
four workers, and kills them between any two effects. On two days of five the owner has rules: an expiry, posting hours,
spacing of posts that are alike or about one symbol, and a second try for duplicates; messages have a `not_before` or a
high priority. `make simulate SEEDS=5000` repeats it; `make simulate SEED=17`
shows one day.

{table(["", "total"], [[name, count] for name, count in totals.items()])}

{len(violations)} guarantees violated. Each of these defects, put into the relay on purpose, is found on the same days:

{table(["defect", "first violation"], rows)}
"""
    return Section.of(text, violations)


def _days(first: int, count: int) -> tuple[Counter[str], list[str]]:
    """Simulate a number of days; return the totals, and the violations."""
    totals: Counter[str] = Counter()
    violated = []
    for seed in range(first, first + count):
        day = run(seed)
        world = day.world
        totals += Counter(
            {
                "days": 1,
                "messages published": len(world.published),
                "requests to StockTwits": len(world.stocktwits.requests),
                "calls of AWS": sum(each for name, each in world.network.calls.items() if "stocktwits" not in name),
                "workers killed": world.network.kills,
                "posts": len(world.stocktwits.timeline.posts) - len(world.day.posts_by_hand),
                "dead letters, each with its reason": len(world.dead.messages),
                "days with rules of the owner": world.day.rules.on,
                "messages that a rule kept back, each time": len(world.held),
                "messages that expired to the log": len(world.expired),
            }
        )
        violated += [f"seed {seed}: {each}" for each in day.violations]
    return totals, violated


def _title(documentation: str | None) -> str:
    return (documentation or "").rstrip(".")


def _shortened(text: str, most: int = 110) -> str:
    flat = text.replace("|", "/")
    return flat if len(flat) <= most else flat[: most - 1] + "…"
