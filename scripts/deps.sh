#!/usr/bin/env bash
# Installs the Debian 12 packages that Turnpike is built from, and nothing when all of them are there.
#   scripts/deps.sh           what the build and the tests need
#   scripts/deps.sh --bench   also what bench/run.sh compares with and loads by
#   scripts/deps.sh --npm     also npm, where there is none
set -euo pipefail

packages=(
  # tools
  clang-19 lld-19 clang-tidy-19 clang-format-19 libclang-rt-19-dev llvm-19 cmake ninja-build ccache git ca-certificates
  # libraries
  libboost1.81-dev libboost-url1.81-dev nlohmann-json3-dev libsimdjson-dev libspdlog-dev libsqlite3-dev libssl-dev openssl
  libcli11-dev prometheus-cpp-dev libsecp256k1-dev libbotan-2-dev libmimalloc-dev libre2-dev
  # tests
  libgtest-dev libgmock-dev libbenchmark-dev python3 sqlite3 curl
)
for argument in "$@"; do
  case $argument in
    --bench) packages+=(nginx-light wrk) ;;
    --npm) command -v npm > /dev/null || packages+=(nodejs npm) ;;
    *) echo "deps: unknown argument $argument" >&2; exit 2 ;;
  esac
done

if ! command -v dpkg-query > /dev/null; then
  echo "deps: this system has no dpkg; the packages are named in scripts/deps.sh, install their likes by hand" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  # ${...} is dpkg's own placeholder.
  # shellcheck disable=SC2016
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null || true)
  [[ $state == installed ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  echo "deps: all ${#packages[@]} packages are installed"
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  command -v sudo > /dev/null || { echo "deps: run me as root, or install: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "deps: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
