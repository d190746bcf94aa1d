#!/usr/bin/env bash
# openssl.sh ARCH: builds OpenSSL's static libraries for the shipping build of ARCH (amd64, arm64, armhf) into its sysroot, from Debian's
# source package, so that Debian's security patches are in it (docs/decisions/0005-openssl-from-source.md). Debian's own libssl.a is made for
# glibc and holds everything; this one is made for musl, of what TLS 1.2 and 1.3 and Ed25519 need. Does nothing when it is there already;
# `rm -r .build-sdk` gets what Debian has published since.
set -euo pipefail
cd "$(dirname "$0")/.."
arch=${1:?usage: packaging/openssl.sh amd64|arm64|armhf}
say() { printf 'openssl: %s\n' "$*" >&2; }

# Both gcc-style names of the machine: what the compiler is told, and OpenSSL's own name for its settings and assembly.
case $arch in
  amd64) target=x86_64-unknown-linux-musl; settings=linux-x86_64-clang; machine=() ;;
  arm64) target=aarch64-unknown-linux-musl; settings=linux-aarch64; machine=() ;;
  armhf) target=armv7-unknown-linux-musleabihf; settings=linux-armv4; machine=(-march=armv7-a -mfloat-abi=hard -mfpu=neon) ;;
  *) say "ARCH is amd64, arm64 or armhf, not $arch"; exit 2 ;;
esac

here=$PWD/.build-sdk/$arch
sysroot=$here/sysroot
[ -e "$sysroot/usr/lib/libc.a" ] || { say "there is no sysroot for $arch yet: run packaging/sysroot.sh $arch"; exit 1; }
stamp=$(sha256sum <packaging/openssl.sh)
# The stamp lies in the sysroot, so a new sysroot asks for a new OpenSSL.
is_up_to_date() { [ "$(head -n 1 "$1/openssl" 2>/dev/null)" = "$stamp" ]; }
is_up_to_date "$sysroot" && exit 0
exec 9>"$here/lock"
flock 9
is_up_to_date "$sysroot" && exit 0
began=$SECONDS

# Another work tree of this repository may have built the same.
while read -r tree; do
  built=$tree/.build-sdk/$arch/sysroot
  is_up_to_date "$built" || continue
  mkdir -p "$sysroot/usr/include"
  cp -r "$built/usr/include/openssl" "$sysroot/usr/include/"
  cp "$built"/usr/lib/lib{ssl,crypto}.a "$sysroot/usr/lib/"
  cp "$built/openssl" "$sysroot/openssl"
  say "took $(tail -n 1 "$sysroot/openssl") for $arch from another work tree"
  exit 0
done < <(git worktree list --porcelain 2>/dev/null | sed -n 's/^worktree //p')

work=$here/openssl
rm -rf "$work"
mkdir -p "$work"/{lists/partial,cache/archives/partial,build}
options=(-o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root -o Acquire::Retries=3 -o Acquire::Languages=none)
update() {
  local attempt
  for attempt in 1 2 3; do
    apt-get "${options[@]}" -qq update >"$work/log" 2>&1 && return
    say "package lists, attempt $attempt of 3: $(grep -m 1 '^E:' "$work/log" || tail -n 1 "$work/log")"
    if [ "$attempt" = 3 ]; then say "going on with the lists that did arrive"; else sleep $((attempt * 4)); fi
  done
}
# Machines seldom have source packages among their apt sources: the same archives are asked for them with a list of our own.
update
apt-get "${options[@]}" indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
  sort -u >"$work/sources.list"
options+=(-o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null)
update

version=
newest=
for candidate in $(apt-cache "${options[@]}" showsrc --only-source openssl | sed -n 's/^Version: //p' | sort -rVu); do
  newest=${newest:-$candidate}
  if (cd "$work" && apt-get "${options[@]}" -qq source "openssl=$candidate") >"$work/log" 2>&1; then
    version=$candidate
    break
  fi
  say "the source of $candidate cannot be had: $(grep -m 1 '^E:' "$work/log" || tail -n 1 "$work/log")"
done
[ -n "$version" ] || { cat "$work/log" >&2; say "no source package of OpenSSL can be had from this machine's apt sources"; exit 1; }
[ "$version" = "$newest" ] || say "WARNING: building $version, although Debian has published $newest; build again when the mirror has it whole"
source=$(echo "$work"/openssl-*/Configure)
source=${source%/Configure}

# What is left out, by reason. Whoever adds to the list measures what it saves; whoever takes from it, what it costs.
without=(
  # One static program, one thread that uses it: nothing is loaded, locked, traced or cleaned up behind its back.
  shared pic dso module dynamic-engine engine threads async atexit tests makedepend uplink autoload-config ui-console secure-memory posix-io
  # The reactor moves the bytes: TLS reads and writes memory.
  sock dgram dtls sctp srtp ktls
  # Texts are ours (Platform/TLS); a number names each error.
  err autoerrinit filenames ssl-trace
  # Protocols that nats-server does not speak either.
  ssl3 ssl3-method tls1 tls1-method tls1_1 tls1_1-method weak-ssl-ciphers nextprotoneg psk srp comp multiblock
  # Everything about certificates beyond checking a chain.
  cmp cms ct ocsp rfc3779 ts
  # Ciphers, hashes, curves and signatures that no cipher suite of nats-server uses.
  aria bf blake2 camellia cast cmac des dh dsa ec2m gost idea legacy md4 mdc2 ocb rc2 rc4 rmd160 scrypt seed siphash siv sm2 sm3 sm4 whirlpool
  deprecated
)
toolchain=$(dirname "$(readlink -f "$(command -v swiftc)")")
flags=(-Os -ffunction-sections -fdata-sections -fomit-frame-pointer -fno-unwind-tables -fno-asynchronous-unwind-tables "${machine[@]}")
say "building $version for $arch (once)"
if ! (
  cd "$work/build"
  CC="$toolchain/clang --target=$target --sysroot=$sysroot -isystem $sysroot/usr/include" AR=$toolchain/llvm-ar RANLIB=$toolchain/llvm-ranlib \
    CFLAGS="${flags[*]}" perl "$source/Configure" "$settings" "${without[@]/#/no-}" --openssldir=/etc/ssl --with-rand-seed=getrandom --release
  make -s -j"$(nproc)" build_generated
  make -s -j"$(nproc)" libcrypto.a libssl.a
) >"$work/log" 2>&1; then
  tail -n 30 "$work/log" >&2
  exit 1
fi
mkdir -p "$sysroot/usr/include/openssl"
cp "$source"/include/openssl/*.h "$work"/build/include/openssl/*.h "$sysroot/usr/include/openssl/"
cp "$work"/build/lib{ssl,crypto}.a "$sysroot/usr/lib/"
rm -rf "$work"
printf '%s\n%s\n' "$stamp" "$version" >"$sysroot/openssl"
say "built $version for $arch in $((SECONDS - began)) s"
