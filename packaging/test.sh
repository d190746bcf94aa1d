#!/usr/bin/env bash
# test.sh: every test. Stops at the first section that fails; prints how long each took.
set -euo pipefail
cd "$(dirname "$0")/.."

section_start=
started=$SECONDS
summary=()
finish_section() { [ -z "$section_start" ] || summary+=("$(printf '%5d s  %s' $((SECONDS - section_start)) "$title")"); }
section() {
  finish_section
  title=$1
  section_start=$SECONDS
  printf '\n==== %s\n' "$title"
}
report() {
  local status=$?
  finish_section
  printf '\n==== summary\n'
  printf '%s\n' "${summary[@]}"
  if [ "$status" = 0 ]; then echo "all sections passed in $((SECONDS - started)) s"; else echo "FAILED in: $title"; fi
}
trap report EXIT

section "set-up"
packaging/setup-build.sh build emulate deb root bench
packaging/setup-python.sh
# Mostly waiting for a mirror, so beside the builds; the last section waits for it.
packaging/debian-root.sh amd64 &
debian_root=$!

section "format"
packaging/format.sh --check

section "Swift tests (ordinary build)"
timeout --foreground 900 swift build --build-tests --manifest-cache none
timeout --foreground 900 swift test --skip-build --manifest-cache none

section "shipping build, amd64"
packaging/build-release.sh amd64

section "shipping build, arm64"
packaging/build-release.sh arm64

pytest=(.venv/bin/python -m pytest -c Tests/pytest.ini)
section "interop, amd64"
PETIOLE_BIN=$PWD/dist/amd64/petiole timeout --foreground 900 "${pytest[@]}" --ignore=Tests/Interop/test_compatibility.py Tests/Interop

section "version matrix"
packaging/setup-servers.sh
PETIOLE_BIN=$PWD/dist/amd64/petiole timeout --foreground 300 "${pytest[@]}" Tests/Interop/test_compatibility.py

section "interop, arm64 under qemu"
PETIOLE_BIN=$PWD/dist/arm64/petiole PETIOLE_RUNNER=qemu-aarch64-static timeout --foreground 600 "${pytest[@]}" -m smoke Tests/Interop

section "Debian package, amd64"
SKIP_RELEASE=1 packaging/build-deb.sh amd64
wait "$debian_root"
timeout --foreground 600 "${pytest[@]}" Tests/Packaging
