#!/bin/bash
# Opens a bundle in a plain Debian with PostgreSQL and compares what is in it with the live QuoteNode.
# It uses tar, sha256sum, pg_restore and diff, no operator, and no tool of its own except `fingerprint`, which only reads.
# It needs CHECKSUM, the SHA-256 of the bundle; the claims mounted at /backups and /app/data; and space in /unpacked.
set -euo pipefail
cd /unpacked

step() { printf '\n== %s\n' "$*"; }

bundle_with() {
    find /backups -name 'quotenode-backup-*.tar.gz' -exec sha256sum {} + | sed -n "s/^$1  //p"
}

scratch() { # runs a command against the scratch server instead of the live one
    env --unset=DATABASE_SECRET PGHOST=/unpacked PGUSER=postgres PGDATABASE=quotenode PGSSLMODE=disable "$@"
}

same() {
    diff "$1" "$2" || { echo "DIFFERENT: $1 $2" && exit 1; }
    echo "equal: $3"
}

step "The bundle, by its checksum"
bundle=$(bundle_with "$CHECKSUM")
[ -n "$bundle" ] || { echo "no bundle with sha256 $CHECKSUM in /backups" && exit 1; }
ls -l "$bundle"

step "tar xzf, sha256sum -c"
tar xzvf "$bundle"
sha256sum -c checksums.sha256

step "pg_restore into a scratch PostgreSQL"
initdb --pgdata=/unpacked/scratch --username=postgres --encoding=UTF8 --locale=C.UTF-8 --auth=trust --no-sync > /dev/null
pg_ctl --pgdata=/unpacked/scratch --wait --silent --log=/unpacked/scratch.log \
    --options="-c listen_addresses='' -c unix_socket_directories=/unpacked -c fsync=off" start
scratch createuser quotenode
scratch createdb --owner=quotenode quotenode
TIMEFORMAT='done in %R s'
time scratch pg_restore --exit-on-error --dbname=quotenode backup.dump
rows=$(scratch psql -qAtc 'ANALYZE' -c "SELECT sum(reltuples)::bigint FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")

step "tar xzf files.tar.gz"
mkdir restored
tar --extract --gzip --preserve-permissions --file=files.tar.gz --directory=restored
du -sh restored

step "Compared with the live QuoteNode"
fingerprint database > live.database
scratch fingerprint database > restored.database
same live.database restored.database "the database: $rows rows, $(grep -c . live.database) facts about tables, \
sequences, large objects and definitions"
fingerprint tree /app/data uploads pdfs > live.files
fingerprint tree restored uploads pdfs > restored.files
same live.files restored.files "the files: $(grep -c . live.files) files and folders, their bytes, modes and times"
scratch fingerprint named restored
step "The bundle is whole"
