"""``make simulate``: live through many days, or through one of them once more.

Prints the trace of the first day on which a promise is broken.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from verification.simulation.run import run

CHUNK = 20


def broken(first: int, count: int) -> list[int]:
    """Return the seeds, of so many, that break a promise."""
    return [seed for seed in range(first, first + count) if run(seed).violations]


def main() -> int:
    """Simulate; 1 when a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m verification.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many days (default: 2000)")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed (default: 0)")
    parser.add_argument("--seed", type=int, help="one day alone, with its trace")
    wanted = parser.parse_args()
    if wanted.seed is not None:
        result = run(wanted.seed)
        print(result.report())
        return 1 if result.violations else 0
    firsts = range(wanted.first, wanted.first + wanted.seeds, CHUNK)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for done, seeds in enumerate(pool.map(broken, firsts, [CHUNK] * len(firsts)), 1):
            if seeds:
                pool.shutdown(cancel_futures=True)
                print(run(seeds[0]).report())
                return 1
            if sys.stderr.isatty():
                print(f"\r{done * CHUNK} days", end="", file=sys.stderr)
    print(f"{len(firsts) * CHUNK} days, from seed {wanted.first}: no promise was broken.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
