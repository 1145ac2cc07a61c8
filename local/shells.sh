#!/bin/sh
# Sees to it that the shells are there whose completion is tested. Where one is missing, and we are root on Debian or its
# like, it is installed.
set -u

missing_shells() {
    for name in bash zsh fish; do
        command -v "$name" >/dev/null || printf ' %s' "$name"
    done
}

missing=$(missing_shells)
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing$missing, for the tests of the completion." >&2
    # shellcheck disable=SC2086  each is a word
    apt-get update -qq >/dev/null &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    missing=$(missing_shells)
    [ -z "$missing" ] && exit 0
fi
echo "Not every shell was found: install$missing (Debian: apt-get install$missing)." >&2
exit 1
