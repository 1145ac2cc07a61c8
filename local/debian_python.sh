#!/bin/sh
# debian_python.sh RUNTIME COMMAND...: runs a command in a Debian that has that Python, for machines that have not. This
# folder is there under its usual name, and PYTHON is set. As root, since it takes chroot and mounts.
#
# debootstrap makes that Debian when it is first needed, from the mirror that apt uses, and it is kept under .local. The
# release's signature is checked with the keys of debian-archive-keyring, and each package by the checksums of the
# release: debootstrap ends with an error otherwise.
set -eu
runtime=$1
shift
case $runtime in
    python3.14) suite=forky ;; # the testing suite; stable ones have older versions, which pyenv has too
    *)
        echo "No $runtime on PATH or in pyenv's folders; Debian's testing suite is only asked for python3.14." >&2
        exit 1
        ;;
esac
root=$PWD/.local/debian/$suite
certificates=/etc/ssl/certs/ca-certificates.crt

fail() {
    echo "$*" >&2
    exit 1
}

make_debian() {
    command -v apt-get >/dev/null || fail "No $runtime on PATH or in pyenv's folders, and no apt-get to have Debian's."
    log=$root.log
    mkdir -p "${root%/*}"
    rm -rf "$root.part"
    {
        apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
                debootstrap debian-archive-keyring gpgv
    } >"$log" 2>&1 || fail "apt-get cannot install debootstrap: $(tail -n 1 "$log")"
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
    [ -n "$mirror" ] || fail "apt has no mirror of Debian to fetch $runtime from."
    eval "$(apt-config shell http_proxy Acquire::http::Proxy)" # wget, which debootstrap uses, does not ask apt
    if [ -n "${http_proxy:-}" ]; then export http_proxy; fi
    echo "Fetching $runtime from Debian's testing suite ..." >&2
    # The release's script is the newest that this debootstrap knows: it may be older than the release.
    debootstrap --force-check-gpg --variant=minbase --include="$runtime,$runtime-venv,ca-certificates" \
        "$suite" "$root.part" "$mirror" sid >"$log" 2>&1 &&
        chroot "$root.part" "$runtime" -m venv /opt/python >>"$log" 2>&1 ||
        fail "debootstrap cannot make a Debian with $runtime: $(tail -n 1 "$log") (all of it: $log)"
    mv "$root.part" "$root"
}

[ "$(id -u)" = 0 ] || fail "No $runtime on PATH or in pyenv's folders; Debian's is fetched for root alone."
[ -d "$root" ] || make_debian

# What this machine trusts and where it installs from; a clean environment for the rest.
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
cp -L "${SSL_CERT_FILE:-$certificates}" "$root$certificates"
index=$(sh local/pip_setting.sh "$(sh local/find_python.sh)" index-url)
mkdir -p "$root$PWD"
# The mounts are in a namespace of this command: nobody else sees them, and removing .local does not reach through them.
exec unshare --mount --propagation private sh -euc '
    root=$1
    shift
    mount --bind "$PWD" "$root$PWD"
    mount -t proc proc "$root/proc"
    exec chroot "$root" "$@"
' sh "$root" env -i \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    PYTHON=/opt/python/bin/python SSL_CERT_FILE="$certificates" PIP_CERT="$certificates" \
    ${index:+"PIP_INDEX_URL=$index"} ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} \
    ${no_proxy:+"no_proxy=$no_proxy"} \
    sh -c 'cd "$1" && shift && exec "$@"' sh "$PWD" "$@"
