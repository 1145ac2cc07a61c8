#!/bin/sh
# environment.sh DIRECTORY REQUIREMENTS...: makes a virtual environment, or brings the one that is there up to date. One
# of another Python is recreated. What the files name is installed and nothing else, and each file that is installed must
# have a hash that its requirement names.
set -eu
directory=$1
shift
python=$(sh local/find_python.sh)
made_by='import sys; print(sys.version, sys.base_prefix)'
if [ "$("$directory/bin/python" -c "$made_by" 2>/dev/null)" != "$("$python" -c "$made_by")" ]; then
    rm -rf "$directory"
    "$python" -m venv --without-pip "$directory"
fi
for file in "$@"; do
    set -- "$@" -r "$file"
    shift
done

# uv takes a few seconds for what takes pip a minute. It does not know pip's settings: these two are what most machines
# have; with others it may fail, and then pip, which knows them all, does it.
with_uv() {
    [ -x .local/uv/bin/uv ] || return 1
    index=$(sh local/pip_setting.sh "$python" index-url)
    certificates=$(sh local/pip_setting.sh "$python" cert)
    env ${index:+"UV_DEFAULT_INDEX=$index"} ${certificates:+"SSL_CERT_FILE=$certificates"} \
        .local/uv/bin/uv pip install --quiet --no-deps --require-hashes --python "$directory/bin/python" "$@"
}

# Python compiles what is imported when it is imported: a fraction of what is installed. Debian ships venv without what
# puts pip into one, so the pip at hand installs into it from outside.
echo "Installing $directory ..."
with_uv "$@" ||
    "$python" -m pip --python "$directory/bin/python" --disable-pip-version-check install -qq --no-compile \
        --no-deps --require-hashes "$@"
