"""``make bench``: measure everything, and write ``docs/benchmarks.md``.

``python -m verification.benchmarks NAME...`` measures only these sections, and prints them instead.
"""

import argparse
import sys
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from local.build import ROOT, BuildError
from local.stack.emulator import Emulator, EmulatorError
from local.stand_ins.firestream.server import FirestreamStandIn
from local.stand_ins.stocktwits.server import StandIn
from verification.benchmarks import calls, cold_start, memory, posting, reading, report, storing, warm_answer
from verification.benchmarks.chat import Chat
from verification.benchmarks.fixtures import BenchmarkError, Builds, Fixtures
from verification.benchmarks.report import Section

FUNCTIONS: dict[str, Callable[[Fixtures], Section]] = {
    "cold-start": cold_start.measure,
    "cold-start-of-backups": cold_start.measure_backups,
    "cold-start-of-the-webhook": cold_start.measure_webhook,
    "cold-start-of-notices": cold_start.measure_notices,
    "warm-answer": warm_answer.measure,
    "posting": posting.measure,
    "calls": calls.measure,
}
LIBRARY: dict[str, Callable[[], Section]] = {
    "storing": storing.measure,
    "memory": memory.measure,
    "reading": reading.measure,
}
NAMES = [*FUNCTIONS, *LIBRARY]
SMALL_DAY = 100


def main() -> int:
    """Measure; return 1 if a target is missed or something could not be measured."""
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
    targets = [target for section in sections for target in section.targets]
    for target in targets:
        result = f"{target.measured:.{target.digits}f}, {target.words}"
        print(f"{'met   ' if target.met else 'MISSED'}  {target.name}: {result}")
    if not wanted:
        print(f"Written: {report.PAGE.relative_to(ROOT)}")
    return 0 if all(target.met for target in targets) else 1


def _measure(wanted: AbstractSet[str]) -> list[Section]:
    sections = []
    if wanted & FUNCTIONS.keys():
        print("Building the relay and the usual recipe", flush=True)
        builds = Builds.make()
        with (
            Emulator() as emulator,
            StandIn() as stocktwits,
            FirestreamStandIn(messages_per_day=SMALL_DAY) as firestream,
            Chat() as chat,
        ):
            fixtures = Fixtures(builds, emulator, stocktwits, firestream, chat)
            sections += [measure(fixtures) for name, measure in FUNCTIONS.items() if name in wanted]
    return sections + [measure() for name, measure in LIBRARY.items() if name in wanted]


if __name__ == "__main__":
    sys.exit(main())
