"""``make reliability``: put the promises to the test, and write ``docs/reliability.md``.

``python -m verification.reliability NAME...`` does these alone, and writes their sections of the page.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from local.build import ROOT, BuildError
from local.stack.emulator import EmulatorError
from verification.reliability import backups_under_fire, costs, posting_under_fire, simulated
from verification.reliability.page import PAGE, Section, write

if TYPE_CHECKING:
    from collections.abc import Callable

SECTIONS: dict[str, Callable[[], Section]] = {
    "fire": posting_under_fire.prove,
    "backups": backups_under_fire.prove,
    "simulation": simulated.prove,
    "limits": costs.prove,
}


def main() -> int:
    """Do it; 1 when a promise was broken, or nothing could be tried."""
    parser = argparse.ArgumentParser(prog="python -m verification.reliability", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="NAME", help=f"some of: {', '.join(SECTIONS)} (default: all)")
    wanted = parser.parse_args().sections or list(SECTIONS)
    if unknown := set(wanted) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    broken = False
    for name in wanted:
        try:
            section = SECTIONS[name]()
        except (BuildError, EmulatorError) as error:
            print(error, file=sys.stderr)
            return 1
        write(name, section.text)
        broken |= bool(section.complaints)
        for complaint in section.complaints:
            print(f"BROKEN  {complaint}")
        print(
            f"{'broken' if section.complaints else 'kept  '}  {name}, written to {PAGE.relative_to(ROOT)}", flush=True
        )
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
