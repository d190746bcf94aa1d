#!/usr/bin/env bash
# sysroot.sh ARCH: makes what the shipping build for ARCH (amd64, arm64, armhf) compiles and links against:
#
#   .build-sdk/ARCH/sysroot   C headers and static libraries, unpacked from Debian's packages for ARCH
#   .build-sdk/ARCH/sdks      a SwiftPM SDK bundle that points there and asks for Embedded Swift and a static link
#
# The Swift standard library comes from the toolchain, which carries Embedded builds of it for bare-metal triples; the
# object format and calling convention are the same as Linux's, so only the C side has to be told the Linux target.
# Nothing is installed on the host: apt keeps its lists and downloads below .build-sdk. Does nothing when up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=${1:?usage: packaging/sysroot.sh amd64|arm64|armhf}
say() { printf 'sysroot: %s\n' "$*" >&2; }

float=()
case $arch in
  amd64) swift_triple=x86_64-unknown-linux-gnu; multiarch=x86_64-linux-gnu; musl=x86_64-linux-musl; c_target=x86_64-unknown-linux-musl ;;
  arm64) swift_triple=aarch64-none-none-elf; multiarch=aarch64-linux-gnu; musl=aarch64-linux-musl; c_target=aarch64-unknown-linux-musl ;;
  armhf) swift_triple=armv7-none-none-eabi; multiarch=arm-linux-gnueabihf; musl=arm-linux-musleabihf; c_target=armv7-unknown-linux-musleabihf; float=(-mfloat-abi=hard) ;;
  *) say "ARCH is amd64, arm64 or armhf, not $arch"; exit 2 ;;
esac

here=$PWD/.build-sdk/$arch
toolchain=$(dirname "$(dirname "$(readlink -f "$(command -v swiftc)")")")
tables=$toolchain/lib/swift/embedded/$swift_triple/libswiftUnicodeDataTables.a
[ -e "$tables" ] || { say "this Swift toolchain has no Embedded standard library for $swift_triple (Swift 6.3 has)"; exit 1; }

# The stamp names everything the result depends on: this script, the toolchain, and where both are.
stamp="$(sha256sum <packaging/sysroot.sh) $here $toolchain $(swiftc --version 2>/dev/null | head -n 1)"
[ "$(cat "$here/stamp" 2>/dev/null)" = "$stamp" ] && exit 0
mkdir -p "$here"
exec 9>"$here/lock"
flock 9
[ "$(cat "$here/stamp" 2>/dev/null)" = "$stamp" ] && exit 0
say "fetching Debian's $arch headers and static libraries"

rm -rf "$here/stamp" "$here/sysroot" "$here/sdks" "$here/apt"
apt=$here/apt
mkdir -p "$here/sysroot/usr/"{include,lib} "$apt"/{lists/partial,cache/archives/partial,debs,unpacked}
options=(-o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache"
  -o APT::Sandbox::User=root -o Acquire::Retries=3 -o Acquire::Languages=none)

# A mirror that is being refreshed serves some lists that do not match their index; apt keeps those that do.
for attempt in 1 2 3; do
  apt-get "${options[@]}" -qq update 2>"$apt/log" && break
  say "package lists, attempt $attempt of 3: $(grep -m 1 '^E:' "$apt/log" || tail -n 1 "$apt/log")"
  if [ "$attempt" = 3 ]; then say "going on with the lists that did arrive"; else sleep $((attempt * 4)); fi
done
# Debian's gcc is a dependency package: it names the compiler release whose start files and libgcc belong to this Debian.
gcc=$(apt-cache "${options[@]}" depends --important gcc | sed -n 's/.*Depends: gcc-\([0-9][0-9]*\).*/\1/p' | head -n 1)
[ -n "$gcc" ] || { cat "$apt/log" >&2; say "no $arch packages can be had from this machine's apt sources"; exit 1; }
for attempt in 1 2 3; do
  (cd "$apt/debs" && apt-get "${options[@]}" -qq download musl-dev linux-libc-dev "libgcc-$gcc-dev" liblz4-dev) 2>"$apt/log" && break
  say "packages, attempt $attempt of 3: $(tail -n 1 "$apt/log")"
  [ "$attempt" = 3 ] && { cat "$apt/log" >&2; exit 1; }
  sleep $((attempt * 4))
done
for deb in "$apt"/debs/*.deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$apt/unpacked" --exclude='./usr/share/*'; done
# Only what is asked for: a header of the build machine's own C library among musl's would be a mistake nobody sees.
from=$apt/unpacked/usr
cp -a "$from/include/$musl/." "$here/sysroot/usr/include/"
cp -a "$from/include/linux" "$from/include/asm-generic" "$from/include/$multiarch/asm" "$here/sysroot/usr/include/"
cp -a "$from/lib/$musl/"{crt1.o,crti.o,crtn.o,libc.a,libm.a} "$here/sysroot/usr/lib/"
cp "$from/lib/gcc/$multiarch/$gcc/libgcc.a" "$here/sysroot/usr/lib/"
# LZ4 is made for glibc, but of the C library it wants memory and its copying only, which musl has under the same names.
cp "$from/include/lz4.h" "$here/sysroot/usr/include/"
cp "$from/lib/$multiarch/liblz4.a" "$here/sysroot/usr/lib/"
rm -rf "$apt"

bundle=$here/sdks/$arch-linux-static.artifactbundle
mkdir -p "$bundle/$arch"
python3 - "$bundle" "$arch" "$here/sysroot" "$toolchain" "$swift_triple" "$c_target" "$tables" "${float[@]}" <<'P'
import json, pathlib, sys

bundle, arch, root, toolchain, swift_triple, c_target, tables, *float_abi = sys.argv[1:]
name = f"{arch}-linux-static"
headers = ["-isystem", f"{root}/usr/include"]


def each(prefix, flags):
    return [word for flag in flags for word in (prefix, flag)]


def write(path, value):
    pathlib.Path(bundle, path).write_text(json.dumps(value, indent=2) + "\n")


write("info.json", {
    "schemaVersion": "1.0",
    "artifacts": {name: {"type": "swiftSDK", "version": "1.0", "variants": [
        {"path": arch, "supportedTriples": ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]}]}},
})
write(f"{arch}/swift-sdk.json", {
    "schemaVersion": "4.0",
    "targetTriples": {swift_triple: {
        "sdkRootPath": root,
        "swiftResourcesPath": f"{toolchain}/lib/swift",
        "swiftStaticResourcesPath": f"{toolchain}/lib/swift_static",
        "toolsetPaths": ["toolset.json"],
    }},
})
write(f"{arch}/toolset.json", {
    "schemaVersion": "1.0",
    "swiftCompiler": {"extraCLIOptions": [
        "-enable-experimental-feature", "Embedded",
        # Functions are emitted again by each module that uses them, and the linker keeps one copy. This pass makes constants of their
        # array literals under names that it numbers anew each time, so the copy that is kept could get another copy's constants.
        "-Xllvm", "-sil-disable-pass=object-outliner",
        *each("-Xcc", headers + float_abi),
        # lld: GNU ld rejects the standard library's copy relocations on aarch64.
        "-use-ld=lld",
        *each("-Xclang-linker", [f"--target={c_target}", f"--sysroot={root}", "-static", "-nostartfiles",
                                 "-nodefaultlibs", "-Wno-unused-command-line-argument", *float_abi]),
    ]},
    "cCompiler": {"extraCLIOptions": [f"--target={c_target}", "-DPETIOLE_EMBEDDED", *headers, *float_abi]},
    # Symbols stay in; packaging/build-release.sh takes them out into a file of their own.
    "linker": {"extraCLIOptions": ["--gc-sections", "--icf=all", "--build-id=sha1", tables,
                                   *(f"{root}/usr/lib/{start}" for start in ("crt1.o", "crti.o")),
                                   f"-L{root}/usr/lib", "-lc", "-lgcc", f"{root}/usr/lib/crtn.o"]},
})
P
printf '%s\n' "$stamp" >"$here/stamp"
say "made ${here#"$PWD"/} ($(du -sh "$here/sysroot" | cut -f1))"
