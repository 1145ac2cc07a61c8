#!/bin/sh
# find_python.sh [RUNTIME...]: prints the first Python that runs, has pip and venv, and is one of these runtimes, such as
# python3.12. Without a name it prints the one to work with: $PYTHON, else the template's default runtime, else the newest
# of the others that the template allows.
#
# Each is looked for on PATH, then in pyenv's folders. A name on PATH may be a shim that only complains while another
# folder has the real one, so all of them are tried.
set -u
template=${0%/*}/../template.yaml
check='import sys, pip, venv
if "python%d.%d" % sys.version_info[:2] not in sys.argv[1:]: sys.exit(1)
print(sys.executable)'

of_runtime() {
    sed -n "/^  PythonRuntime:/,/^    Description:/s/^    $1: *//p" "$template" | tr -d '[],'
}

candidates() {
    (
        IFS=:
        for folder in $PATH; do
            if [ -x "$folder/$1" ]; then echo "$folder/$1"; fi
        done
    )
    ls -d "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/${1#python}".*/bin/"$1" 2>/dev/null | sort -rV
}

# first NAME RUNTIME...: the first program of a name that is one of the runtimes.
first() {
    name=$1
    shift
    candidates "$name" | while IFS= read -r program; do
        "$program" -c "$check" "$@" 2>/dev/null </dev/null | grep . && break
    done | grep . # whether there was one
}

if [ $# -gt 0 ]; then
    for runtime in "$@"; do
        first "$runtime" "$runtime" && exit 0
    done
    echo "No $* with pip was found on PATH or in pyenv's folders." >&2
    exit 1
fi

allowed=$(of_runtime AllowedValues)
newest=
for runtime in $allowed; do
    newest="$runtime $newest"
done
if [ -n "${PYTHON:-}" ]; then
    # $allowed is several words on purpose.
    "$PYTHON" -c "$check" $allowed 2>/dev/null | grep . && exit 0
    echo "Not PYTHON=$PYTHON: it does not run, has no pip, or is none of $allowed." >&2
fi
for runtime in $(of_runtime Default) $newest; do
    first "$runtime" "$runtime" && exit 0
done
for name in python3 python; do
    first "$name" $allowed && exit 0
done
echo "No Python 3.11 to 3.14 with pip was found: install one (Debian: apt-get install python3-pip), or set PYTHON." >&2
exit 1
