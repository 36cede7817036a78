#!/usr/bin/env bash
# Installs what is missing, builds into build/, and runs every test: unit, integration, crash, and the real clients.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "test: looking for packages"
scripts/deps.sh
echo "test: configuring build/ (clang-19, RelWithDebInfo)"
cmake -B build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19 --log-level=WARNING > /dev/null
echo "test: building (minutes the first time)"
ninja -C build
echo "test: unit, integration and crash tests"
ctest --test-dir build -j2 --output-on-failure

echo "test: real clients (tests/e2e)"
node_major=$(node --version 2> /dev/null | sed 's/^v\([0-9]*\).*/\1/' || true)
if ((${node_major:-0} < 20)); then
  # Debian 12 has 18, with which these clients do not run.
  scripts/deps.sh --npm
  own=$PWD/build/node/node_modules/node/bin
  if [[ ! -x $own/node ]]; then
    echo "test: installing Node.js 20 into build/node"
    npm install --prefix build/node --no-save --no-audit --no-fund node@20.20.2
  fi
  export PATH="$own:$PATH"
fi
cd tests/e2e
if [[ ! -f node_modules/.package-lock.json || package-lock.json -nt node_modules/.package-lock.json ]]; then
  # Not `npm ci`: it wants the engine's builds for every other platform in the lock file, and they are left out.
  npm install --no-save
fi
TURNPIKE_BUILD="$PWD/../../build" npm test
