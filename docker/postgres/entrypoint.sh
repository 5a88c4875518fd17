#!/bin/sh
# Creates the database cluster on an empty data folder, then becomes the server. Further arguments go to the server.
#
# POSTGRES_PASSWORD_FILE or POSTGRES_PASSWORD  password of the superuser (needed once, on an empty folder)
# POSTGRES_USER  the superuser's name (postgres)
# POSTGRES_DB    a database to create (the superuser's name)
# PGDATA         the data folder; its parent is the volume
set -eu

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

create_database_cluster() {
  new=$PGDATA.new
  password=$(mktemp)
  trap 'rm -f "$password"' EXIT
  if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
    cat "$POSTGRES_PASSWORD_FILE" >"$password"
  elif [ -n "${POSTGRES_PASSWORD:-}" ]; then
    printf '%s\n' "$POSTGRES_PASSWORD" >"$password"
  else
    echo 'the data folder is empty: set POSTGRES_PASSWORD_FILE or POSTGRES_PASSWORD' >&2
    exit 1
  fi
  # What an interrupted start left half done.
  rm -rf "$new"
  initdb --pgdata="$new" --username="$user" --pwfile="$password" --auth-host=scram-sha-256 --auth-local=scram-sha-256 \
    --encoding=UTF8 --locale=C.UTF-8 --data-checksums
  rm -f "$password"
  echo 'host all all all scram-sha-256' >>"$new/pg_hba.conf"
  echo 'host replication all all scram-sha-256' >>"$new/pg_hba.conf"
  if [ "$database" != postgres ]; then
    echo "CREATE DATABASE \"$database\";" | postgres --single -j -D "$new" postgres >/dev/null
  fi
  # A name that exists is a database cluster that is complete.
  mv "$new" "$PGDATA"
}

[ -s "$PGDATA/PG_VERSION" ] || create_database_cluster
unset POSTGRES_PASSWORD
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
