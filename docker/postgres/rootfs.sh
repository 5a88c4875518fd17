#!/usr/bin/env bash
# rootfs.sh <suite> <folder>: fills the folder with the PostgreSQL of a suite of Debian and the few tools its entrypoint needs, from
# Debian packages.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
suite=$1
rootfs=$2
# `postgresql` is the suite's version, with its client.
mmdebstrap --quiet --mode=root --variant=extract \
  --include=postgresql,dash,coreutils,sed,libc-bin,tzdata,ca-certificates \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$rootfs"

cd "$rootfs"
# From trixie on packages have everything below /usr, and the links to it are made when a system is set up.
for folder in bin sbin lib lib64; do
  [[ -e $folder || ! -e usr/$folder ]] || ln -s "usr/$folder" "$folder"
done
# Just-in-time compilation is the largest part by far; without its module the server leaves it out.
rm -rf usr/lib/postgresql/*/lib/{llvmjit.so,bitcode} usr/lib/*/libLLVM* usr/lib/*/libz3.so* usr/lib/llvm-*
# What only the packages' own scripts use.
rm -rf usr/bin/perl* usr/lib/*/{perl*,libperl*,gconv} usr/share/{perl*,i18n,doc,man,locale} var/{cache,lib/apt,lib/dpkg}

ln -sf dash bin/sh
cat usr/share/ca-certificates/mozilla/*.crt >etc/ssl/certs/ca-certificates.crt
# nonroot is who the backup agent runs as: initdb wants its user to have a name.
printf '%s\n' 'root:x:0:0::/root:/bin/sh' 'postgres:x:26:26::/var/lib/postgresql:/bin/sh' \
  'nonroot:x:65532:65532::/nonexistent:/sbin/nologin' >etc/passwd
printf '%s\n' 'root:x:0:' 'postgres:x:26:' 'nonroot:x:65532:' >etc/group
echo 'hosts: files dns' >etc/nsswitch.conf
# A volume lies here; without one, the user that the server runs as makes its own private folder in it.
install -d -m 1777 var/lib/postgresql/data
install -d -m 1777 tmp
install -m 0555 "$here/entrypoint.sh" usr/bin/postgres-entrypoint
