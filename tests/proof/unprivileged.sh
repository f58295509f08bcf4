#!/bin/sh
# Runs the whole suite as a user without rights: sudo sh tests/proof/unprivileged.sh [ARGUMENTS OF PYTEST]
# It is a clone of what is committed, in a folder of that user (nobody) below /var/tmp, with the system's Python, or with
# a $PYTHON that this user may run. /tmp and /dev/shm are its own and empty, and end with it.
set -eu

CDPATH='' cd -- "$(dirname -- "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "unprivileged.sh: run it as root, who may become another user" >&2; exit 2; }
if [ -z "${UNPRIVILEGED_CHECKOUT:-}" ]; then
  top=$(mktemp -d /var/tmp/unprivileged-XXXXXX)
  trap 'rm -rf "$top"' EXIT
  git clone -q . "$top/checkout"
  mkdir "$top/home"
  chown -R "$(id -u nobody):$(id -g nobody)" "$top"
  chmod 755 "$top"
  UNPRIVILEGED_CHECKOUT=$top/checkout unshare -m sh "$top/checkout/tests/proof/unprivileged.sh" "$@"
  exit
fi
mount -t tmpfs -o mode=1777 none /tmp
mount -t tmpfs -o mode=1777 none /dev/shm
cd "$UNPRIVILEGED_CHECKOUT"
setpriv --reuid "$(id -u nobody)" --regid "$(id -g nobody)" --clear-groups env --default-signal=HUP,INT -u UNPRIVILEGED_CHECKOUT \
  HOME="${PWD%/*}/home" TMPDIR=/tmp PATH=/usr/local/bin:/usr/bin:/bin PYTHON="${PYTHON:-/usr/bin/python3}" \
  sh tests/run -q -p no:cacheprovider "$@"
