#!/bin/sh
# Prints the Python to work with: the first that really runs, has pip and venv, and is 3.11 to 3.14. A name on PATH may
# be a shim that only complains, so each is tried. $PYTHON goes first.
check='import sys, pip, venv
if not (3, 11) <= sys.version_info[:2] <= (3, 14): sys.exit(1)
print(sys.executable)'
for name in ${PYTHON:-} python3.13 python3.14 python3.12 python3.11 python3 python; do
    if found=$("$name" -c "$check" 2>/dev/null) && [ -n "$found" ]; then
        echo "$found"
        exit 0
    fi
done
echo "No Python 3.11 to 3.14 with pip was found: install one (Debian: apt-get install python3-pip), or set PYTHON." >&2
exit 1
