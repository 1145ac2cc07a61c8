"""``make bench``: measure cold start, posting and calls, and write ``docs/benchmarks.md``."""

import sys

from benchmarks import calls, cold_start, posting, report
from benchmarks.ground import BenchmarkError, Builds, Ground
from local.build import ROOT, BuildError
from local.emulator import Emulator, EmulatorError
from local.stocktwits import StandIn


def main() -> int:
    """Measure all of it; 1 when a bar is missed or nothing could be measured."""
    try:
        print("Building the relay and the usual recipe", flush=True)
        builds = Builds.make()
        with Emulator() as emulator, StandIn() as stocktwits:
            ground = Ground(builds, emulator, stocktwits)
            sections = [each.measure(ground) for each in (cold_start, posting, calls)]
    except (BuildError, EmulatorError, BenchmarkError) as error:
        print(error, file=sys.stderr)
        return 1
    report.write(sections)
    bars = [bar for section in sections for bar in section.bars]
    for bar in bars:
        print(f"{'met   ' if bar.met else 'MISSED'}  {bar.promise}: {bar.measured:.{bar.digits}f}, {bar.words}")
    print(f"Written: {report.PAGE.relative_to(ROOT)}")
    return 0 if all(bar.met for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
