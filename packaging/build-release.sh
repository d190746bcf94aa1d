#!/usr/bin/env bash
# build-release.sh ARCH: makes dist/ARCH/petiole, the shipping binary (Embedded Swift, fully static, stripped), and
# beside it petiole.symbols, which gdb and llvm-symbolizer use to name the functions of a crash.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=${1:?usage: packaging/build-release.sh amd64|arm64|armhf}
# The Embedded compiler can hang on code it does not support; one that has used this much of a processor has. Not the clock: on a busy
# machine a sound build takes long.
compiler_seconds_max=900
product=${PRODUCT:-petiole}

packaging/setup-build.sh build
packaging/sysroot.sh "$arch"
packaging/openssl.sh "$arch"
build=(swift build -c release --product "$product" --scratch-path ".build-$arch" --manifest-cache none
  --swift-sdks-path ".build-sdk/$arch/sdks" --swift-sdk "$arch-linux-static")
printf 'release: building %s for %s\n' "$product" "$arch" >&2
status=0
(ulimit -t "$compiler_seconds_max" && EMBEDDED=1 "${build[@]}") >&2 || status=$?
[ "$status" = 0 ] || { echo "release: the build failed; a compiler that was killed used more than $compiler_seconds_max s of a processor" >&2; exit "$status"; }

built=$(EMBEDDED=1 "${build[@]}" --show-bin-path)/$product
out=dist/$arch
objcopy=$(dirname "$(readlink -f "$(command -v swiftc)")")/llvm-objcopy
mkdir -p "$out"
"$objcopy" --only-keep-debug "$built" "$out/$product.symbols"
chmod 644 "$out/$product.symbols"
"$objcopy" --strip-all "$built" "$out/.$product.new"
mv "$out/.$product.new" "$out/$product" # a running copy keeps its inode

kind=$(file -b "$out/$product")
case $arch in
  amd64) machine="ELF 64-bit LSB executable, x86-64" ;;
  arm64) machine="ELF 64-bit LSB executable, ARM aarch64" ;;
  armhf) machine="ELF 32-bit LSB executable, ARM, EABI5" ;;
esac
if [[ $kind != "$machine"* || $kind != *"statically linked"* ]]; then
  echo "release: $out/$product is not a static $arch program: $kind" >&2
  exit 1
fi
printf 'release: %s, %s bytes, statically linked\n' "$out/$product" "$(stat -c %s "$out/$product")" >&2
