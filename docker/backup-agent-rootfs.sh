#!/usr/bin/env bash
# backup-agent-rootfs.sh <folder>: fills the folder with what the backup agent runs, the newest PostgreSQL of Debian's stable suite:
# pg_dump reads servers up to its own major version. POSTGRES_SUITE chooses another suite with a newer one.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/postgres/rootfs.sh" "${POSTGRES_SUITE:-trixie}" "$1"
# The entrypoint of a server that keeps its data; a drill starts its own.
rm "$1/usr/bin/postgres-entrypoint"
