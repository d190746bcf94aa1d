#!/usr/bin/env bash
# version.sh: prints the newest version in CHANGELOG.md.
set -euo pipefail
sed -n 's/^## \([0-9][0-9.]*\).*/\1/p' "$(dirname "$0")/../CHANGELOG.md" | head -n 1
