"""Run by the Python of `.local/scan`, where parliament is: reads policies from standard input, and prints its findings.

parliament's own command leaves a file at a fixed place in /tmp, so it is used as a library.
"""

import json
import sys

import parliament  # type: ignore[import-not-found]


def main() -> None:
    """Read a JSON object of policies as text by name, and print a JSON array of what is found in them."""
    policies: dict[str, str] = json.load(sys.stdin)
    found = [
        {"policy": name, "issue": each.issue, "detail": each.detail, "location": each.location}
        for name, text in policies.items()
        for each in parliament.analyze_policy_string(text).findings
    ]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
