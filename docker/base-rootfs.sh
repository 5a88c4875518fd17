#!/usr/bin/env bash
# base-rootfs.sh <folder>: fills the folder with what a Rust binary needs at run time, from Debian packages: glibc, libgcc, CA
# certificates and an unprivileged user.
set -euo pipefail

rootfs=$1
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
mmdebstrap --quiet --mode=root --variant=extract --include=libc6,libgcc-s1,ca-certificates bookworm "$unpacked"

mkdir -p "$rootfs"/{etc/ssl/certs,tmp}
chmod 1777 "$rootfs/tmp"
for library in 'ld-linux-*' 'libc.so.*' 'libm.so.*' 'libgcc_s.so.*' 'libdl.so.*' 'libpthread.so.*' 'librt.so.*' 'libresolv.so.*' \
  'libnss_dns.so.*' 'libnss_files.so.*'; do
  (cd "$unpacked" && find lib lib64 usr/lib \( -type f -o -type l \) -name "$library" -exec cp --parents -P {} "$rootfs" \;)
done
# The packages' scripts do not run here; this is what ca-certificates' does.
cat "$unpacked"/usr/share/ca-certificates/mozilla/*.crt >"$rootfs/etc/ssl/certs/ca-certificates.crt"
echo 'hosts: files dns' >"$rootfs/etc/nsswitch.conf"
echo 'nonroot:x:65532:65532::/nonexistent:/sbin/nologin' >"$rootfs/etc/passwd"
echo 'nonroot:x:65532:' >"$rootfs/etc/group"
