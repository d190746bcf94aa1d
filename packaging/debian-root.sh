#!/usr/bin/env bash
# debian-root.sh ARCH: makes .build-debroot-ARCH, a minimal Debian of this machine's release to install packages into.
# Kept between runs and never changed after it is made: tests work on copies.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=${1:?usage: packaging/debian-root.sh amd64}
root=$PWD/.build-debroot-$arch
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
[ "$(cat "$root/.made" 2>/dev/null)" = "$release" ] && exit 0
packaging/setup-build.sh root
echo "debian-root: making a minimal Debian $release for $arch" >&2
for attempt in 1 2 3; do
  rm -rf "$root"
  # The package's one dependency is included, so that installing it needs no network.
  debootstrap --arch="$arch" --variant=minbase --include=systemd-standalone-sysusers "$release" "$root" >"$root.log" 2>&1 && break
  echo "debian-root: attempt $attempt of 3 failed: $(tail -n 1 "$root.log")" >&2
  [ "$attempt" = 3 ] && exit 1
  sleep $((attempt * 5))
done
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
mv "$root.log" "$root/.log"
echo "$release" >"$root/.made"
