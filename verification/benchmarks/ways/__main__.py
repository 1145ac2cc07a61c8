"""Run one way once, and print the measurements as JSON."""

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import cast

from verification.benchmarks.ways.job import Job, Way

_STATUS = Path("/proc/self/status")
_KIB = 1024
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else _KIB


def main() -> None:
    """Run the way that the arguments name."""
    way = cast("Way", import_module(f"verification.benchmarks.ways.{sys.argv[1]}"))
    run = way.prepare(Job(**json.loads(sys.argv[2])))
    cpu = _cpu_seconds()
    start = time.perf_counter()
    lines = run()
    seconds = time.perf_counter() - start
    measured = {"seconds": seconds, "cpu_seconds": _cpu_seconds() - cpu, "peak_bytes": _peak_bytes(), "lines": lines}
    print(json.dumps(measured))


def _cpu_seconds() -> float:
    """Return the processor time of this process and its children."""
    usages = (getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_bytes() -> int:
    """Return the peak memory of this process or of one of its children."""
    own = getrusage(RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
    if _STATUS.exists():
        # On Linux a process inherits its parent's ru_maxrss, but not this value.
        own = next(
            int(line.split()[1]) * _KIB for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:")
        )
    return max(own, getrusage(RUSAGE_CHILDREN).ru_maxrss * _MAXRSS_UNIT)


if __name__ == "__main__":
    main()
