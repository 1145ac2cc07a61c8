#!/bin/sh
# pip_setting.sh PYTHON NAME: prints one of pip's settings, such as index-url, as `pip install` would take it: from its
# environment variable, else from its files. Nothing if it has none. What installs in pip's place asks for it.
settings=$("$1" -m pip config list 2>/dev/null)
for section in :env: install global; do
    value=$(printf '%s\n' "$settings" | sed -n "s/^$section\.$2='\(.*\)'\$/\1/p")
    if [ -n "$value" ]; then
        echo "$value"
        break
    fi
done
