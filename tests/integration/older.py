"""Older bundles of a site, made without a backup: to those who count and remove bundles they are what a backup leaves."""

import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from quotenode_backup.contract.manifest import BundleTarget, FilesSource
from quotenode_backup.domain import naming, retention
from quotenode_backup.domain.target import Target
from tests import bundle_maker
from tests.integration import trees
from tests.integration.bundles import command
from tests.integration.pod import USER
from tests.integration.postgres import environment
from tests.integration.site import HOST, NAMESPACE, Site

SUFFIXES = ("", ".sha256", ".manifest.json")


@dataclass(frozen=True)
class Older:
    path: Path
    run_uid: str

    @property
    def parts(self) -> list[Path]:
        return [self.path.with_name(self.path.name + suffix) for suffix in SUFFIXES]

    @property
    def record(self) -> Path:
        return self.parts[2]

    @property
    def is_whole(self) -> bool:
        return all(part.is_file() for part in self.parts)

    @property
    def is_gone(self) -> bool:
        return not any(part.exists() for part in self.parts)

    @property
    def fingerprint(self) -> str:
        return retention.fingerprint(self.run_uid)

    def pin(self) -> None:
        self.path.with_name(f"{self.path.name}.keep").touch()

    def rot(self) -> None:
        """One bit, in the middle."""
        content = bytearray(self.path.read_bytes())
        content[len(content) // 2] ^= 1
        self.path.write_bytes(content)


def bundle(
    site: Site,
    *,
    days_ago: float,
    database: str | None = None,
    on: Path | None = None,
    server: str | None = None,
    filler: int = 70_000,
    dump: bytes | None = None,
) -> Older:
    """A bundle of the site's database, or of another in the same claim. `on`: lies in that folder, whatever its record says.

    `server`: the system identifier of one that is called the same, and is not the site's. `filler`: how many bytes of files it has.
    """
    name = database or site.database.name
    folder = site.destination / Target(NAMESPACE, HOST, site.database.server.port, name).bundle_folder
    made = datetime.now(UTC) - timedelta(days=days_ago)
    older = Older((on or folder) / naming.bundle_name(made), str(uuid.uuid4()))
    target = BundleTarget(
        host=HOST,
        port=site.database.server.port,
        database=name,
        system_identifier=server or site.database.server.system_identifier,
    )
    running = site.database.server
    dump, files = dump or a_dump(running.folder, running.programs, running.port), os.urandom(filler)
    described = bundle_maker.manifest(target, older.run_uid, made, dump, files)
    sources = (FilesSource(name=".", claim_name="quotenode-uploads", sub_path=""),)
    assert described.files
    described = described.model_copy(update={"files": described.files.model_copy(update={"sources": sources})})
    bundle_maker.put(older.path, described, dump, files)
    trees.own(older.path.parent, USER)
    return older


@cache
def a_dump(server: Path, programs: Path, port: int) -> bytes:
    """Of nothing in particular. `server`: the folder of its socket."""
    argv: list[str | Path] = [programs / "pg_dump", "--format=custom", "-h", server, "-p", str(port), "-U", "postgres"]
    return command([*argv, "postgres"], env=environment(programs)).stdout


def bundles(site: Site, count: int) -> list[Older]:
    """One a day, the newest first."""
    return [bundle(site, days_ago=days) for days in range(1, count + 1)]


def standing(older: Iterable[Older]) -> list[bool]:
    """Whether each is whole or gone; a part of one is neither."""
    found = list(older)
    assert all(one.is_whole or one.is_gone for one in found), [str(one.path) for one in found]
    return [one.is_whole for one in found]
