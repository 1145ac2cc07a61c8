#!/bin/sh
# Prints the chromium to test with: the first that really runs. A name on PATH may be a stub that only says what to
# install, so each is tried. Where there is none, and we are root on Debian or its like, it is installed.
set -u

find_chromium() {
    for name in chromium chromium-browser google-chrome; do
        if found=$(command -v "$name") && "$found" --version >/dev/null 2>&1; then
            echo "$found"
            return 0
        fi
    done
    return 1
}

find_chromium && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing chromium, for the tests in a browser." >&2
    apt-get update -qq >/dev/null &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null &&
        find_chromium && exit 0
fi
echo "No chromium that runs was found: install one (Debian: apt-get install chromium)." >&2
exit 1
