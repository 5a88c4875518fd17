#!/usr/bin/env bash
# rootfs.sh <folder>: fills the folder with PostgreSQL 15 and the few tools its entrypoint needs, from Debian packages.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rootfs=$1
mmdebstrap --quiet --mode=root --variant=extract \
  --include=postgresql-15,postgresql-client-15,dash,coreutils,sed,libc-bin,tzdata,ca-certificates \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$rootfs"

# Just-in-time compilation is the largest part by far; without its module the server leaves it out.
rm -rf "$rootfs"/usr/lib/postgresql/15/lib/{llvmjit.so,bitcode} "$rootfs"/usr/lib/*/libLLVM* "$rootfs"/usr/lib/*/libz3.so* \
  "$rootfs"/usr/lib/llvm-* "$rootfs"/usr/lib/*/perl* "$rootfs"/usr/share/perl* "$rootfs"/usr/{share,lib}/{doc,man,locale,python3*} \
  "$rootfs"/usr/lib/*/gconv "$rootfs"/usr/share/{doc,man,locale} "$rootfs"/var/{cache,lib/apt,lib/dpkg}

ln -sf dash "$rootfs/bin/sh"
cat "$rootfs"/usr/share/ca-certificates/mozilla/*.crt >"$rootfs/etc/ssl/certs/ca-certificates.crt"
printf '%s\n' 'root:x:0:0::/root:/bin/sh' 'postgres:x:26:26::/var/lib/postgresql:/bin/sh' >"$rootfs/etc/passwd"
printf '%s\n' 'root:x:0:' 'postgres:x:26:' >"$rootfs/etc/group"
echo 'hosts: files dns' >"$rootfs/etc/nsswitch.conf"
install -d -m 0700 -o 26 -g 26 "$rootfs/var/lib/postgresql" "$rootfs/var/lib/postgresql/data"
install -d -m 1777 "$rootfs/tmp"
install -m 0555 "$here/entrypoint.sh" "$rootfs/usr/bin/postgres-entrypoint"
