#!/usr/bin/env bash
# setup-python.sh: makes .venv with what packaging/requirements.txt names. Does nothing when it is up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
stamp="$(sha256sum <packaging/requirements.txt) $(python3 --version 2>/dev/null || :) $PWD"
[ "$(cat .venv/stamp 2>/dev/null)" = "$stamp" ] && exit 0
packaging/setup-build.sh python
stamp="$(sha256sum <packaging/requirements.txt) $(python3 --version) $PWD"
echo "setup: making .venv from packaging/requirements.txt" >&2
rm -rf .venv
python3 -m venv .venv
for attempt in 1 2 3; do
  .venv/bin/pip install --quiet --disable-pip-version-check -r packaging/requirements.txt && break
  [ "$attempt" = 3 ] && { echo "setup: PyPI did not deliver; try again" >&2; exit 1; }
  sleep $((attempt * 5))
done
printf '%s\n' "$stamp" >.venv/stamp
