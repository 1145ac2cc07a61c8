"""Run the day of a seed: the day itself, its violations, and a readable trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from verification.simulation.checker import clock, violations
from verification.simulation.rule_checker import broken_rules
from verification.simulation.scenario import scenario
from verification.simulation.scheduler import Endless
from verification.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

LINES = 400
"""A longer trace is shortened in the middle."""


@dataclass(frozen=True)
class Run:
    """The result of a seed."""

    seed: int
    world: World
    violations: list[str]

    def report(self) -> str:
        """Describe the day: its settings, its trace, and the violations."""
        lines = [f"{clock(at)}  {who:<10} {what}" for at, who, what in self.world.network.trace]
        if len(lines) > LINES:
            lines[LINES // 2 : -LINES // 2] = [f"... {len(lines) - LINES} lines ..."]
        return "\n".join(
            [
                f"Seed {self.seed}: {self.world.day}",
                *lines,
                *(f"VIOLATION: {each}" for each in self.violations),
                f"Repeat: make simulate SEED={self.seed}",
            ]
        )


def run(
    seed: int,
    *,
    rough: bool = False,
    ruled: bool | None = None,
    on_call: Callable[[str, dict[str, Any]], None] | None = None,
) -> Run:
    """Simulate the day of a seed; `on_call` is called with each operation on the ledger's table."""
    world = World(scenario(seed, rough=rough, ruled=ruled), on_call)
    try:
        world.run()
    except Endless:
        return Run(seed, world, ["the day does not end"])
    return Run(seed, world, [*violations(world), *broken_rules(world)])
