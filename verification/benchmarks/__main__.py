"""``make bench``: measure all of it, and write ``docs/benchmarks.md``.

``python -m verification.benchmarks NAME...`` measures these sections alone, and prints them instead.
"""

import argparse
import sys
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from local.build import ROOT, BuildError
from local.stack.emulator import Emulator, EmulatorError
from local.stand_ins.firestream.server import FirestreamStandIn
from local.stand_ins.stocktwits.server import StandIn
from verification.benchmarks import calls, cold_start, posting, reading, report, storing
from verification.benchmarks.fixtures import BenchmarkError, Builds, Ground
from verification.benchmarks.report import Section

FUNCTIONS: dict[str, Callable[[Ground], Section]] = {
    "cold-start": cold_start.measure,
    "cold-start-of-backups": cold_start.measure_backups,
    "posting": posting.measure,
    "calls": calls.measure,
}
LIBRARY: dict[str, Callable[[], Section]] = {"storing": storing.measure, "reading": reading.measure}
NAMES = [*FUNCTIONS, *LIBRARY]
SMALL_DAY = 100


def main() -> int:
    """Measure; 1 when a bar is missed or nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m verification.benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="NAME", help=f"some of: {', '.join(NAMES)} (default: all)")
    wanted = parser.parse_args().sections
    if unknown := set(wanted) - set(NAMES):
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    try:
        sections = _measure(set(wanted or NAMES))
    except (BuildError, EmulatorError, BenchmarkError) as error:
        print(error, file=sys.stderr)
        return 1
    if wanted:
        print(*(section.markdown() for section in sections), sep="\n\n")
    else:
        report.write(sections)
    bars = [bar for section in sections for bar in section.bars]
    for bar in bars:
        print(f"{'met   ' if bar.met else 'MISSED'}  {bar.promise}: {bar.measured:.{bar.digits}f}, {bar.words}")
    if not wanted:
        print(f"Written: {report.PAGE.relative_to(ROOT)}")
    return 0 if all(bar.met for bar in bars) else 1


def _measure(wanted: AbstractSet[str]) -> list[Section]:
    sections = []
    if wanted & FUNCTIONS.keys():
        print("Building the relay and the usual recipe", flush=True)
        builds = Builds.make()
        with (
            Emulator() as emulator,
            StandIn() as stocktwits,
            FirestreamStandIn(messages_per_day=SMALL_DAY) as firestream,
        ):
            ground = Ground(builds, emulator, stocktwits, firestream)
            sections += [measure(ground) for name, measure in FUNCTIONS.items() if name in wanted]
    return sections + [measure() for name, measure in LIBRARY.items() if name in wanted]


if __name__ == "__main__":
    sys.exit(main())
