"""Opens a bundle as a person would, with nothing but tar, sha256sum and pg_restore."""

import json
import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from tests.integration.postgres import OWNER, Server, environment

TABLES = """
    SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'm') AND nspname NOT IN ('pg_catalog', 'information_schema')"""
ROWS = """SELECT count(*), md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE "C"), '')) FROM {} AS t"""
SEQUENCES = """
    SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind = 'S'"""
OTHER_FACTS = {
    "large objects": "SELECT oid, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 1",
    "views": "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
    "triggers": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
    "enums": "SELECT enumtypid::regtype::text, enumlabel FROM pg_enum ORDER BY 1, enumsortorder",
    "owners": """
        SELECT relname, pg_get_userbyid(relowner) FROM pg_class
        WHERE relnamespace = 'public'::regnamespace ORDER BY 1""",
}


def content(connection: psycopg.Connection) -> dict[str, object]:
    """All that a database holds, in a form that two databases can be compared by."""
    facts: dict[str, object] = {what: connection.execute(query).fetchall() for what, query in OTHER_FACTS.items()}
    for (table,) in connection.execute(TABLES).fetchall():
        facts[f"rows of {table}"] = connection.execute(_about(ROWS, table)).fetchone()
    for (sequence,) in connection.execute(SEQUENCES).fetchall():
        facts[f"state of {sequence}"] = connection.execute(
            _about("SELECT last_value, is_called FROM {}", sequence)
        ).fetchone()
    return facts


def _about(query: str, quoted_name: str) -> sql.Composed:
    return sql.SQL(query).format(sql.SQL(quoted_name))


ABOUT_A_STRANGE_TIME = re.compile(rb"time stamp .* in the future|implausibly old time stamp")
"""What GNU's tar says, and restores the time all the same."""


@dataclass(frozen=True)
class Opened:
    """A bundle unpacked, its checksums verified."""

    folder: Path

    @property
    def dump(self) -> Path:
        return self.folder / "backup.dump"

    @property
    def manifest(self) -> dict[str, object]:
        manifest: dict[str, object] = json.loads((self.folder / "manifest.json").read_text())
        return manifest

    def members(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    def files(self, extractor: str = "tar") -> Path:
        """The files, extracted with GNU's tar or with BSD's."""
        into = self.folder / f"extracted by {extractor}"
        into.mkdir()
        done = command([extractor, "-xpzf", "files.tar.gz", "-C", into], cwd=self.folder)
        complaints = [line for line in done.stderr.splitlines() if not ABOUT_A_STRANGE_TIME.search(line)]
        assert not complaints, complaints
        return into

    def file_names(self) -> set[bytes]:
        listing = command(["tar", "-tzf", "files.tar.gz", "--quoting-style=literal"], cwd=self.folder).stdout
        return {line.rstrip(b"/") for line in listing.splitlines()}

    def restore_into(self, server: Server, name: str, owner: str = OWNER) -> None:
        server.create_database(name, owner, "TEMPLATE template0")
        arguments: list[str | Path] = ["-h", server.folder, "-p", str(server.port), "-U", "postgres", "--exit-on-error"]
        into: list[str | Path] = ["--dbname", f"dbname='{name}'", self.dump]
        done = command([server.programs / "pg_restore", *arguments, *into], env=environment(server.programs))
        assert not done.stderr, done.stderr

    def database_content(self, server: Server, name: str) -> dict[str, object]:
        """What a restore into a new database holds. The database is dropped again."""
        self.restore_into(server, name)
        try:
            with server.connect(name) as connection:
                return content(connection)
        finally:
            server.drop_database(name)


def open_by_hand(bundle: Path, into: Path) -> Opened:
    into.mkdir(parents=True)
    done = command(["tar", "xzf", bundle, "-C", into])
    assert not done.stderr, done.stderr
    command(["sha256sum", "--strict", "-c", "checksums.sha256"], cwd=into)
    command(["sha256sum", "--strict", "-c", f"{bundle.name}.sha256"], cwd=bundle.parent)
    return Opened(into)


def command(
    argv: Iterable[str | Path], cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([*argv], cwd=cwd, env=env or {**os.environ, "LC_ALL": "C.UTF-8"}, capture_output=True)
    assert done.returncode == 0, f"{argv} ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
    return done
