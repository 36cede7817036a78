#!/usr/bin/env bash
# Builds the release and measures Turnpike beside nginx, the bare node and the floor: see bench/README.md.
#   bench/run.sh [--seconds S] [--rounds R] [--only direct,nginx,turnpike,undigested,floor] [--streams N]
#   BUILD=DIR bench/run.sh ...      measures what DIR holds (its programs must have been built with -DTURNPIKE_BENCH=ON)
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/deps.sh --bench
if [[ -z ${BUILD:-} ]]; then
  BUILD=build/release
  scripts/release.sh
fi
exec python3 bench/measure.py --build "$BUILD" "$@"
