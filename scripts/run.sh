#!/usr/bin/env bash
# From a fresh checkout to a gateway that answers: installs what is missing, builds into build/, starts `turnpike dev`.
# Arguments go to `turnpike dev`.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "run: looking for packages"
scripts/deps.sh
echo "run: configuring build/ (clang-19, RelWithDebInfo)"
cmake -B build -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19 --log-level=WARNING > /dev/null
echo "run: building turnpike and turnpike-simnode (minutes the first time)"
ninja -C build turnpike turnpike-simnode
echo "run: starting turnpike dev"
exec build/turnpike dev "$@"
