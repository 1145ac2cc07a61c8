#!/bin/sh
# Pins every environment anew: one resolution for the layer, the tools and the tests, so that what is tested is what is
# deployed. Each version comes with the hashes of its files, for every processor and Python, and as wheels alone: pip
# fetches what builds a source distribution without hashes, and runs it. Hosts and paths stay out of the files, and so do
# the bounds that pyproject.toml states for all.
set -eu
compile() {
    .local/uv/bin/uv pip compile --quiet --universal --python-version "${oldest:-3.11}" --generate-hashes --only-binary :all: \
        --emit-build-options --no-emit-index-url --no-header --no-annotate "$@"
}
all=$(mktemp)
trap 'rm -f "$all"' EXIT
compile requirements/local.in requirements/dev.in -o "$all"
compile --constraint "$all" requirements/layer.in -o layers/relay/requirements.txt
compile --constraint "$all" requirements/usual.in -o verification/benchmarks/usual_recipe/layer/requirements.txt
for name in requirements/local requirements/dev requirements/bench requirements/fuzz; do
    compile --constraint "$all" "$name.in" -o "$name.txt"
done
for name in requirements/emulator requirements/runtime requirements/scan requirements/awscli requirements/uv; do
    compile "$name.in" -o "$name.txt"
done
oldest=3.12 compile --override requirements/second-emulator-without.in requirements/second-emulator.in \
    -o requirements/second-emulator.txt
bounds="python_full_version < '3.15' and platform_python_implementation == 'CPython' and sys_platform != 'win32'"
sed -i "s/ ; $bounds\( \\\\\)$/\\1/" requirements/*.txt layers/relay/requirements.txt \
    verification/benchmarks/usual_recipe/layer/requirements.txt
