"""One seed from morning to night: the day, the verdict, and a trace that a person can follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from verification.simulation.checker import clock, violations
from verification.simulation.scenario import scenario
from verification.simulation.scheduler import Endless
from verification.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

LINES = 400
"""A longer trace is cut in the middle."""


@dataclass(frozen=True)
class Run:
    """What became of a seed."""

    seed: int
    world: World
    violations: list[str]

    def report(self) -> str:
        """Tell the day: what it was like, what happened, and what should not have."""
        lines = [f"{clock(at)}  {who:<10} {what}" for at, who, what in self.world.network.trace]
        if len(lines) > LINES:
            lines[LINES // 2 : -LINES // 2] = [f"... {len(lines) - LINES} lines ..."]
        return "\n".join(
            [
                f"Seed {self.seed}: {self.world.day}",
                *lines,
                *(f"VIOLATION: {each}" for each in self.violations),
                f"Again: make simulate SEED={self.seed}",
            ]
        )


def run(seed: int, *, rough: bool = False, watch: Callable[[str, dict[str, Any]], None] | None = None) -> Run:
    """Live through the day of a seed; `watch` is told of what the ledger's table is asked."""
    world = World(scenario(seed, rough=rough), watch)
    try:
        world.run()
    except Endless:
        return Run(seed, world, ["the day does not end"])
    return Run(seed, world, list(violations(world)))
