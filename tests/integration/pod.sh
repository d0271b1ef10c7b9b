#!/bin/sh
# Starts a command in the shipped image as a kubelet does: in mounts of its own, as process 1, as a user without any
# right, with a root that cannot be written. Run it in a new mount and pid namespace.
#
# usage: [QN_TRACER=...] pod.sh UID [FROM TO ro|rw]... -- COMMAND...
set -eu

uid=$1
root=/shipped
shift

mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o size=16m,mode=0777 tmpfs "$root/run/quotenode"

while [ "$1" != "--" ]; do
    mount --bind "$1" "$root$2"
    [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
    shift 3
done
shift

mount -o remount,bind,ro "$root"

# shellcheck disable=SC2086 # words of a command, or none
exec ${QN_TRACER:-} chroot "$root" \
    setpriv --reuid="$uid" --regid="$uid" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all -- "$@"
