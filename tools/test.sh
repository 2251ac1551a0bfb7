#!/usr/bin/env bash
#     tools/test.sh [ARGUMENTS OF PYTEST]
#
# Runs the default suite in two halves side by side: what only computes, and what starts servers and engines and waits for
# them. On two cores that takes two thirds of the time of one after the other. What the first says is shown at the end.
set -uo pipefail
cd "$(dirname "$0")/.."

NONE=5  # pytest's exit code where no test was selected
said=$(mktemp)
computing=
trap 'rm -f "$said"; [ -z "$computing" ] || kill "$computing" 2>/dev/null' EXIT

.venv/bin/pytest -o cache_dir=.pytest_cache/computing tests/unit tests/props tests/programs "$@" >"$said" 2>&1 &
computing=$!
.venv/bin/pytest tests/integration tests/e2e "$@"
waited=$?
wait "$computing"
computed=$?
computing=
cat "$said"

for status in "$waited" "$computed"; do
  [ "$status" = 0 ] || [ "$status" = $NONE ] || exit "$status"
done
[ "$waited$computed" != $NONE$NONE ] || exit $NONE
