#!/bin/sh
# create-repository <path>: makes an empty repository, served as /<path>.git, and leaves one that exists as it is.
#
# <name>         for whoever has a password; set up as hosting services do, with partial clones and any object for the asking
# public/<name>  the same, and everybody may fetch
# plain/<name>   as git is without configuration: no partial clones
set -eu

case ${1:-} in
  '' | -* | /* | */ | *//* | .* | */.* | *[!A-Za-z0-9._/-]*)
    echo "create-repository: expected a path like orders, public/orders or plain/orders, got '${1:-}'" >&2
    exit 2
    ;;
esac
folder=/repositories/${1%.git}.git
git init --quiet --bare "$folder"
case $1 in
  plain/*) ;;
  *)
    git -C "$folder" config uploadpack.allowFilter true
    git -C "$folder" config uploadpack.allowAnySHA1InWant true
    ;;
esac
