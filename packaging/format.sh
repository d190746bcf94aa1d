#!/usr/bin/env bash
# format.sh [--check]: puts every Swift file into the form that .swift-format describes; with --check only says which
# files are not in it, and fails if there are any.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(git ls-files --cached --others --exclude-standard -- '*.swift')
existing=()
for file in "${files[@]}"; do [ -e "$file" ] && existing+=("$file"); done
if [ "${1:-}" != --check ]; then
  swift format format --in-place --parallel "${existing[@]}"
  exit 0
fi
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp --parents .swift-format "${existing[@]}" "$copy"
(cd "$copy" && swift format format --in-place --parallel "${existing[@]}")
wrong=0
for file in "${existing[@]}"; do
  cmp -s "$file" "$copy/$file" && continue
  wrong=$((wrong + 1))
  diff -u --label "$file" --label "$file (formatted)" "$file" "$copy/$file" | head -n 20 || :
done
[ "$wrong" = 0 ] || { echo "format: $wrong of ${#existing[@]} files differ from their formatted form; run: make format" >&2; exit 1; }
echo "format: ${#existing[@]} files are in form"
