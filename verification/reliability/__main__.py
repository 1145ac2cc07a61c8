"""``make reliability``: test the relay's guarantees, and write the results to ``docs/reliability.md``.

``python -m verification.reliability NAME...`` runs only these sections, and replaces them in the page.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from local.build import ROOT, BuildError
from local.stack.emulator import EmulatorError
from verification.reliability import backups_under_fire, costs, posting_under_fire, simulated, webhook
from verification.reliability.page import PAGE, Section, write

if TYPE_CHECKING:
    from collections.abc import Callable

SECTIONS: dict[str, Callable[[], Section]] = {
    "fire": posting_under_fire.prove,
    "contrary": posting_under_fire.prove_contrary,
    "rules": posting_under_fire.prove_rules,
    "backups": backups_under_fire.prove,
    "simulation": simulated.prove,
    "limits": costs.prove,
    "webhook": webhook.prove,
}


def main() -> int:
    """Run the sections; return 1 if a guarantee was violated, or a section could not run."""
    parser = argparse.ArgumentParser(prog="python -m verification.reliability", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="NAME", help=f"some of: {', '.join(SECTIONS)} (default: all)")
    wanted = parser.parse_args().sections or list(SECTIONS)
    if unknown := set(wanted) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    violated = False
    for name in wanted:
        try:
            section = SECTIONS[name]()
        except (BuildError, EmulatorError) as error:
            print(error, file=sys.stderr)
            return 1
        write(name, section.text)
        violated |= bool(section.violations)
        for violation in section.violations:
            print(f"VIOLATED  {violation}")
        print(
            f"{'failed' if section.violations else 'passed'}  {name}, written to {PAGE.relative_to(ROOT)}", flush=True
        )
    return int(violated)


if __name__ == "__main__":
    sys.exit(main())
