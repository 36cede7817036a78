#!/usr/bin/env bash
# Builds build/release/turnpike as it should be deployed: once to record what runs often, under a short load on this machine,
# and once more with what was recorded. Arguments go to the last cmake.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/deps.sh
echo "release: building the programs that record (build/record)"
cmake --preset record --log-level=WARNING > /dev/null
ninja -C build/record
profile=$PWD/build/record/turnpike.profdata
if [[ build/record/turnpike -nt $profile ]]; then
  echo "release: recording under load"
  rm -rf build/record/profiles
  LLVM_PROFILE_FILE="$PWD/build/record/profiles/%p.profraw" python3 bench/record.py --build build/record
  llvm-profdata-19 merge -o "$profile" build/record/profiles/*.profraw
fi
echo "release: building with what was recorded (build/release)"
cmake --preset release --log-level=WARNING -DTURNPIKE_PROFILE="$profile" "$@" > /dev/null
ninja -C build/release
echo "release: build/release/turnpike"
