#!/usr/bin/env bash
# build-deb.sh ARCH: makes dist/petiole_VERSION_ARCH.deb from dist/ARCH/petiole (built first when SKIP_RELEASE is not set).
# Same binary in, same package out: every time stamp is the version's date in CHANGELOG.md.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=${1:?usage: packaging/build-deb.sh amd64|arm64|armhf}
version=$(packaging/version.sh)

packaging/setup-build.sh deb
[ -n "${SKIP_RELEASE:-}" ] || packaging/build-release.sh "$arch"

tree=.build-deb/$arch/petiole-$version
rm -rf ".build-deb/$arch"
mkdir -p "$tree/bin"
cp -r packaging/debian "$tree/debian"
cp packaging/petiole.conf packaging/petiole.1 "$tree"
cp "dist/$arch/petiole" "$tree/bin"
python3 packaging/debian_changelog.py <CHANGELOG.md >"$tree/debian/changelog"

log=$PWD/.build-deb/$arch/log
if ! (cd "$tree" && LC_ALL=C.UTF-8 DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage --build=binary --no-sign --no-check-builddeps --host-arch "$arch") >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
deb=petiole_${version}_$arch.deb
lintian --allow-root --fail-on error,warning --tag-display-limit 0 ".build-deb/$arch/$deb"
mkdir -p dist
cp ".build-deb/$arch/$deb" dist/
printf 'deb: dist/%s, %s bytes\n' "$deb" "$(stat -c %s "dist/$deb")" >&2
