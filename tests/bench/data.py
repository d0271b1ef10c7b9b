"""Data to back up: the same bytes each time, of the size that is asked for.

Offers as a quoting application has them (words, numbers, dates: a dump of them compresses to about a third) and files that mostly do not
compress, as images and PDFs do not.
"""

import os
import random
import subprocess
from pathlib import Path

POSTGRES = Path("/usr/lib/postgresql/17/bin")
ROWS_PER_MB = 3500
DUMP_RATIO = 0.35
"""What a compressed dump takes of the database's size, roughly."""

SCHEMA = """
CREATE TABLE offers (
    id bigint PRIMARY KEY, customer text NOT NULL, created timestamptz NOT NULL, total numeric(12, 2) NOT NULL,
    terms text NOT NULL, lines jsonb NOT NULL);
INSERT INTO offers
SELECT n, 'Customer ' || (n * 7919) % 20000, timestamptz '2026-01-01 00:00Z' + n * interval '37 s',
       ((n * 104729) % 10000000) / 100.0,
       'Delivery within ' || n % 30 || ' days, reference ' || md5(n::text),
       jsonb_build_array(jsonb_build_object('sku', md5((n * 3)::text), 'quantity', n % 50, 'price', (n * 31) % 9999))
FROM generate_series(1, {rows}::bigint) AS n;
CREATE INDEX ON offers (customer);
ANALYZE;
"""


def make_database(folder: Path, megabytes: int, password: str) -> None:
    folder.mkdir()
    os.chown(folder, *(int(subprocess.check_output(["id", flag, "postgres"])) for flag in ("-u", "-g")))
    secret = folder.with_suffix(".password")
    secret.write_text(password)
    secret.chmod(0o644)
    _as_postgres(
        "initdb", "-D", str(folder), "-U", "quotenode", "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8"
    )
    settings = "-c fsync=off -c max_wal_size=8GB -c shared_buffers=256MB -c listen_addresses=127.0.0.1"
    _as_postgres("pg_ctl", "-D", str(folder), "-w", "-l", "/tmp/pg.log", "-o", settings, "start")
    _sql("postgres", "CREATE DATABASE quotenode", password)
    _sql("quotenode", SCHEMA.format(rows=megabytes * ROWS_PER_MB), password)
    _sql("quotenode", "CHECKPOINT", password)


def database_size() -> int:
    said = subprocess.check_output(["psql", "-XAtc", "SELECT pg_table_size('offers')"], text=True)
    return int(said)


def make_files(folder: Path, megabytes: int) -> None:
    """Some 300 KB each, in folders of a hundred; every tenth is text."""
    source = random.Random(20261124)
    left, number = megabytes * 10**6, 0
    while left > 0:
        size = min(left, source.randrange(20_000, 600_000))
        path = folder / f"{number // 100:04d}" / f"offer-{number:06d}.pdf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"quote " * (size // 6 + 1) if number % 10 == 0 else source.randbytes(size))
        left, number = left - size, number + 1


def folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _as_postgres(program: str, *arguments: str) -> None:
    command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", str(POSTGRES / program), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")


def _sql(database: str, statement: str, password: str) -> None:
    environment = os.environ | {"PGHOST": "127.0.0.1", "PGUSER": "quotenode", "PGPASSWORD": password}
    command = ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
