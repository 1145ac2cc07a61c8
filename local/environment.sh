#!/bin/sh
# environment.sh DIRECTORY REQUIREMENTS...: makes a virtual environment, or brings the one that is there up to date.
# Debian ships venv without what puts pip into one, so the pip at hand installs into it from outside.
set -eu
directory=$1
shift
python=$(sh local/find_python.sh)
if ! "$directory/bin/python" -c '' 2>/dev/null; then
    rm -rf "$directory"
    "$python" -m venv --without-pip "$directory"
fi
for file in "$@"; do
    set -- "$@" -r "$file"
    shift
done
# Python compiles what is imported when it is imported: a fraction of what is installed.
echo "Installing $directory ..."
"$python" -m pip --python "$directory/bin/python" --disable-pip-version-check install -qq --no-compile "$@"
