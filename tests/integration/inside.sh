#!/bin/sh
# Runs in the container: lays out the shipped root file system at /shipped, with the mount points of a runner's pod, and
# starts pytest beside it.
set -eu

mkdir /shipped
tar -xf /image.tar -C /shipped
cd /shipped
mkdir -p dev proc plan secrets source destination run/quotenode
cp /etc/hosts /etc/resolv.conf etc/
touch /dev/termination-log

cd /opt/quotenode/tests/integration
exec python3 -m pytest "$@"
