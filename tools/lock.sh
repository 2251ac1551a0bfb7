#!/usr/bin/env bash
# Recompiles the requirements files. They carry hashes and name no index, so that any index with the same files serves.
# An existing file is kept as the preference: only what pyproject.toml demands changes. UPGRADE=1 takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    ${UPGRADE:+--upgrade} "$@"
}
compile pyproject.toml -o requirements/runtime.txt
compile pyproject.toml --extra dev -o requirements/dev.txt
# The bootstrap installs the uv that the environment pins, so that there is one version of it.
grep -oE '^uv==[^ ]+' requirements/dev.txt | compile - -o requirements/uv.txt
for peer in bench/peers/requirements/*.in; do compile "$peer" -o "${peer%.in}.txt"; done
echo 'solana==0.41.0' | compile - -o tests/clients/python/requirements.txt
# A local chain pins the version of solders whose runtime it is tested with, apart from the one clients use.
echo 'solders==0.29.0' | compile - -o src/hypernode/chain/local/requirements.txt
