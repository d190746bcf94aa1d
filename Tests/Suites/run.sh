#!/usr/bin/env bash
# run.sh NATS_PY PETIOLE [argument of nats_py.py…]: runs nats.py's test suites against the agent and the real nats-server (nats_py.py).
# They need a newer Python than Debian 12 has, so they run in a Debian 13 root of their own, kept in .build-suites.
set -euo pipefail
cd "$(dirname "$0")/../.."
checkout=$(realpath "${1:?usage: Tests/Suites/run.sh NATS_PY_CHECKOUT PETIOLE [SUITE...]}")
petiole=$(realpath "${2:?usage: Tests/Suites/run.sh NATS_PY_CHECKOUT PETIOLE [SUITE...]}")
shift 2
[ "$(id -u)" = 0 ] || { echo "suites: needs root, for a network namespace and a Debian root" >&2; exit 1; }
[ -d "$checkout/nats/tests" ] || { echo "suites: $checkout is no checkout of nats-io/nats.py" >&2; exit 1; }
work=$PWD/.build-suites
root=$work/root
packages="pytest==9.2.0 pytest-asyncio==1.5.0 pytest-timeout==2.4.0 nkeys aiohttp aiofiles websockets>=16"
stamp="trixie $packages"
if [ "$(cat "$work/made" 2>/dev/null)" != "$stamp" ]; then
  packaging/setup-build.sh root
  echo "suites: making a Debian 13 root with Python and pytest" >&2
  rm -rf "$root" "$work/made"
  mkdir -p "$work"
  debootstrap --variant=minbase --include=python3,python3-venv,iproute2 trixie "$root" >"$work/debootstrap.log" 2>&1 || { tail -n 5 "$work/debootstrap.log" >&2; exit 1; }
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  # Pure wheels and those for this machine alike: what pip fetches here for Debian 13's Python.
  mkdir "$root/wheels"
  python3 -m venv "$work/fetch"
  # shellcheck disable=SC2086
  "$work/fetch/bin/pip" wheel --quiet --no-deps --wheel-dir "$root/wheels" nkeys
  # shellcheck disable=SC2086
  "$work/fetch/bin/pip" download --quiet --dest "$root/wheels" --python-version 3.13 --only-binary :all: --find-links "$root/wheels" $packages
  chroot "$root" python3 -m venv /suite
  # shellcheck disable=SC2086
  chroot "$root" /suite/bin/pip install --quiet --no-index --find-links /wheels $packages
  rm -rf "$root/wheels" "$work/fetch"
  echo "$stamp" >"$work/made"
fi
mkdir -p "$root/petiole" "$root/nats.py" "$root/agent"
exec unshare --mount bash -c '
  root=$1; checkout=$2; petiole=$3; shift 3
  mount --bind "$root" "$root" && mount --bind "$PWD" "$root/petiole" && mount --bind "$checkout" "$root/nats.py" && mount --bind "$(dirname "$petiole")" "$root/agent" &&
    mount -t proc proc "$root/proc" && mount --bind /dev "$root/dev" &&
    exec chroot "$root" /suite/bin/python /petiole/Tests/Suites/nats_py.py --checkout /nats.py --petiole "/agent/$(basename "$petiole")" "$@"
' run.sh "$root" "$checkout" "$petiole" "$@"
