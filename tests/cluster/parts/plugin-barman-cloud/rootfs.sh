#!/usr/bin/env bash
# rootfs.sh <the plugin's list of Python packages> <folder>: fills the folder with Barman's programs for object stores and the Python
# that they run on.
set -euo pipefail

requirements=$1
rootfs=$2
packages=usr/lib/python3/dist-packages

# PyPI has psycopg2 as sources only, Debian has it built.
mmdebstrap --quiet --mode=root --variant=extract --include=python3,python3-psycopg2,libc-bin,tzdata,ca-certificates \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$rootfs"

# What S3 needs of the list, with its hashes; the rest of it is for Azure, Google and compressions beside gzip and bzip2.
awk '/^[a-z]/ {wanted = $1 ~ /^(barman|boto3|botocore|jmespath|python-dateutil|s3transfer|six|urllib3)==/} wanted' \
  "$requirements" >"$rootfs/tmp/requirements.txt"
python3 -m venv "$rootfs/tmp/venv"
"$rootfs/tmp/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes --no-compile \
  --only-binary :all: --python-version 3.11 --target "$rootfs/$packages" --requirement "$rootfs/tmp/requirements.txt"
for program in "$rootfs/$packages"/bin/barman-cloud-*; do
  sed '1s|.*|#!/usr/bin/python3|' "$program" >"$rootfs/usr/bin/${program##*/}"
  chmod 0755 "$rootfs/usr/bin/${program##*/}"
done
rm -rf "${rootfs:?}/$packages/bin" "${rootfs:?}"/tmp/*

cd "$rootfs"
rm -rf usr/bin/perl* usr/lib/*/{perl*,libperl*,gconv} usr/share/{perl*,i18n,doc,man,locale} var/{cache,lib/apt,lib/dpkg}
cat usr/share/ca-certificates/mozilla/*.crt >etc/ssl/certs/ca-certificates.crt
printf '%s\n' 'root:x:0:0::/root:/bin/sh' 'postgres:x:26:26::/var/lib/postgresql:/bin/sh' >etc/passwd
printf '%s\n' 'root:x:0:' 'postgres:x:26:' >etc/group
echo 'hosts: files dns' >etc/nsswitch.conf
install -d -m 1777 tmp
# The root is read-only later, and compiling takes longer than to upload a file of the write-ahead log. By the content's hash: the
# image gives all files one time.
chroot . /usr/bin/python3.11 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3 /usr/lib/python3.11 >/dev/null
