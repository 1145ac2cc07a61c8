"""``make simulate``: simulate many days, or one of them again.

Prints the trace of the first day on which a guarantee is violated.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from verification.simulation.run import run

CHUNK = 20


def failing_seeds(first: int, count: int) -> list[int]:
    """Return the seeds of `count` days on which a guarantee is violated."""
    return [seed for seed in range(first, first + count) if run(seed).violations]


def main() -> int:
    """Simulate; return 1 if a guarantee is violated."""
    parser = argparse.ArgumentParser(prog="python -m verification.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many days (default: 2000)")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed (default: 0)")
    parser.add_argument("--seed", type=int, help="only this day, with its trace")
    wanted = parser.parse_args()
    if wanted.seed is not None:
        result = run(wanted.seed)
        print(result.report())
        return 1 if result.violations else 0
    firsts = range(wanted.first, wanted.first + wanted.seeds, CHUNK)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for done, seeds in enumerate(pool.map(failing_seeds, firsts, [CHUNK] * len(firsts)), 1):
            if seeds:
                pool.shutdown(cancel_futures=True)
                print(run(seeds[0]).report())
                return 1
            if sys.stderr.isatty():
                print(f"\r{done * CHUNK} days", end="", file=sys.stderr)
    print(f"{len(firsts) * CHUNK} days, from seed {wanted.first}: no guarantee was violated.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
