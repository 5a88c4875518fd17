#!/bin/sh
# Makes the repositories that REPOSITORIES names, separated by spaces, then becomes the web server.
set -eu

for path in ${REPOSITORIES:-}; do
  create-repository "$path"
done
exec apache2 -f /etc/git-server/httpd.conf -D FOREGROUND
