#!/bin/sh
# Installs the shells whose completion is tested, where we are root on Debian or its like; without one, its test is
# skipped.
set -u

missing=
for name in bash zsh fish; do
    command -v "$name" >/dev/null || missing="$missing $name"
done
if [ -z "$missing" ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    exit 0
fi
echo "Installing$missing, for the tests of the completion." >&2
# shellcheck disable=SC2086  each is a word
apt-get update -qq >/dev/null &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
exit 0
