#!/usr/bin/env bash
# rootfs.sh <folder of the built programs> <folder>: fills the folder with what the cluster itself runs in pods.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=$1
rootfs=$2
mkdir -p "$rootfs"/{bin,etc,tmp}
chmod 1777 "$rootfs/tmp"
cc -static -Os -s -o "$rootfs/pause" "$here/pause.c"
cp "$programs/coredns" "$programs/local-path-provisioner" "$rootfs/"
cp /bin/busybox "$rootfs/bin/"
for applet in $(busybox --list); do
  [[ $applet == busybox ]] || ln -s busybox "$rootfs/bin/$applet"
done
printf '%s\n' 'root:x:0:0::/:/bin/sh' 'nonroot:x:65532:65532::/:/bin/sh' >"$rootfs/etc/passwd"
printf '%s\n' 'root:x:0:' 'nonroot:x:65532:' >"$rootfs/etc/group"
