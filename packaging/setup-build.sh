#!/usr/bin/env bash
# setup-build.sh GROUP...: installs the Debian packages that a job needs, and only those that are missing.
# Groups: build (compile), python (.venv), emulate (run ARM programs), deb (make packages), root (Debian roots for install tests), bench.
# Quiet when there is nothing to do. Needs root only when something is missing.
set -euo pipefail
say() { printf 'setup: %s\n' "$*" >&2; }

declare -A packages=(
  [build]="libc6-dev liblz4-dev libssl-dev file xz-utils make perl dpkg-dev"
  [python]="python3 python3-venv openssl"
  [emulate]="qemu-user-static"
  [deb]="debhelper dpkg-dev fakeroot lintian file"
  [root]="debootstrap systemd"
  [bench]="gcc libc6-dev strace"
)

if ! command -v swift >/dev/null; then
  say "there is no Swift toolchain on PATH; install Swift 6.3 from https://www.swift.org/install/linux/ and try again"
  exit 1
fi
if ! command -v dpkg-query >/dev/null; then
  say "this is not a Debian system; install the equivalents of: ${packages[*]}"
  exit 1
fi

missing=()
for group in "$@"; do
  [ -n "${packages[$group]:-}" ] || { say "unknown group $group (known: ${!packages[*]})"; exit 2; }
  for package in ${packages[$group]}; do
    state=$(dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | head -n 1) || state=unknown
    [ "$state" = installed ] || missing+=("$package")
  done
done
[ ${#missing[@]} -gt 0 ] || exit 0

become=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { say "missing: ${missing[*]}; install them as root: apt-get install ${missing[*]}"; exit 1; }
  become=(sudo)
fi
say "installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for attempt in 1 2 3; do
  # A mirror that is being refreshed makes part of an update fail; what did arrive is often enough.
  "${become[@]}" apt-get -qq -o Acquire::Retries=3 update >"$log" 2>&1 || say "apt-get update: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log")"
  "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 \
    install --no-install-recommends "${missing[@]}" >"$log" 2>&1 && exit 0
  say "attempt $attempt of 3 failed: $(tail -n 1 "$log")"
  sleep $((attempt * 4))
done
cat "$log" >&2
exit 1
