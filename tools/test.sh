#!/usr/bin/env bash
#     tools/test.sh [ARGUMENTS OF PYTEST]
#
# Runs the default suite in two parts side by side: the tests of rooms against real servers, which mostly wait for them,
# and all others. On two cores that takes two thirds of the time of one after the other. What the others say is shown at
# the end.
set -uo pipefail
cd "$(dirname "$0")/.."

NONE=5  # pytest's exit code where no test was selected
said=$(mktemp)
others=
trap 'rm -f "$said"; [ -z "$others" ] || kill "$others" 2>/dev/null' EXIT
trap : INT  # the terminal tells both, and they end what they started; in the background they would not listen by default

env --default-signal=INT .venv/bin/pytest -o cache_dir=.pytest_cache/others \
  tests/unit tests/props tests/programs tests/e2e "$@" >"$said" 2>&1 &
others=$!
.venv/bin/pytest tests/integration "$@"
rooms_ended=$?
until wait "$others"; others_ended=$?; ! kill -0 "$others" 2>/dev/null; do :; done  # Ctrl-C interrupts a wait
others=
cat "$said"

for status in "$rooms_ended" "$others_ended"; do
  [ "$status" = 0 ] || [ "$status" = $NONE ] || exit "$status"
done
[ "$rooms_ended$others_ended" != $NONE$NONE ] || exit $NONE
