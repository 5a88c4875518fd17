#!/usr/bin/env bash
# rootfs.sh <folder>: fills the folder with git, the web server that runs its CGI program, and git's own client for https, from Debian
# packages: of those only the programs that are called, and the libraries that they load.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
rootfs=$1
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
mmdebstrap --quiet --mode=root --variant=extract --include=git,apache2-bin,dash,libgcc-s1 bookworm "$unpacked"

cd "$unpacked"
mapfile -t modules < <(awk '$1 == "LoadModule" {print substr($3, 2)}' "$here/httpd.conf")
programs=(bin/dash usr/bin/git usr/sbin/apache2 usr/lib/git-core/git-{http-backend,remote-http})
loader=$(find lib lib64 -name 'ld-linux-*.so.*' -print -quit)
libraries=$(for file in "${programs[@]}" "${modules[@]}"; do chroot . "/$loader" --list "/$file"; done)
# Also the loader itself, by the name that the programs have for it.
mapfile -t libraries < <(awk '$2 == "=>" {print substr($3, 2)} $1 ~ "^/" {print substr($1, 2)}' <<<"$libraries" | sort -u)
# No program names it: glibc loads it when a thread ends.
mapfile -t -O "${#libraries[@]}" libraries < <(find lib usr/lib -name libgcc_s.so.1)
mkdir -p "$rootfs"
cp --parents --dereference "${programs[@]}" "${modules[@]}" "${libraries[@]}" "$rootfs"

cd "$rootfs"
ln -s dash bin/sh
# Git calls itself by this path.
ln -s ../../bin/git usr/lib/git-core/git
ln -s git-remote-http usr/lib/git-core/git-remote-https
install -d etc/git-server repositories
install -d -m 1777 tmp
install -m 0444 "$here/httpd.conf" etc/git-server/httpd.conf
install -m 0444 "$here/gitconfig" etc/gitconfig
install -m 0555 "$here/git-server.sh" usr/bin/git-server
install -m 0555 "$here/create-repository.sh" usr/bin/create-repository
echo 'nonroot:x:65532:65532::/tmp:/bin/sh' >etc/passwd
echo 'nonroot:x:65532:' >etc/group
echo 'hosts: files dns' >etc/nsswitch.conf
