"""What would keep a restore from being loaded or swapped, found before anything is changed. Nothing here changes anything."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass

from quotenode_backup.contract.manifest import BundleManifest
from quotenode_backup.contract.restore_plans import ReadingPlan
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.restore_room import Load, Room, Volume
from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner.files.archive_check import Tally
from quotenode_backup.runner.postgres.dump_head import DumpHead
from quotenode_backup.runner.postgres.restore import databases, preflight
from quotenode_backup.runner.postgres.restore.blockers import obstacles as blockers
from quotenode_backup.runner.postgres.restore.databases import Database
from quotenode_backup.runner.postgres.restore.dumped_names import DumpedExtension
from quotenode_backup.runner.postgres.restore.growth import room_for
from quotenode_backup.runner.postgres.restore.identities import Identities
from quotenode_backup.runner.postgres.sessions import MAINTENANCE, Session
from quotenode_backup.runner.process.display import escape
from quotenode_backup.runner.process.mounts import Mounts

log = logging.getLogger(__name__)

_EXPANDS = 5
"""How much larger than its dump a database is taken to be at least, since a bundle does not say how large it was."""


@dataclass(frozen=True, slots=True)
class Checked:
    live: Database
    room: Room
    by_admin: tuple[DumpedExtension, ...]
    """The extensions that the administrator's role has to create."""
    server_version: str


def require_same_name(plan: ReadingPlan, manifest: BundleManifest) -> None:
    """Host and server do not count, since a restore may be how the data moves to another one."""
    found, wanted = manifest.target.database, plan.database.name
    if found != wanted and not plan.allow_other_database:
        raise RunFailed(
            Reason.OTHER_DATABASE,
            f"The bundle is a backup of database {escape(found, 80)}, and would be restored into {escape(wanted, 80)}: nothing was changed. If that "
            "is what you want, set spec.database.allowOtherDatabase.",
        )


def require_files(plan: ReadingPlan, manifest: BundleManifest) -> Tally:
    """What the manifest says about the archive of the files, which must have a folder for each target."""
    missing = sorted({files.name for files in plan.files} - manifest.holds)
    if missing or manifest.files is None:
        known = ", ".join(sorted(manifest.holds)) or "none"
        raise RunFailed(
            Reason.SOURCE_PATH_MISSING,
            f"The backup has no files named {escape(', '.join(missing), 120)} (it has {escape(known, 120)}): nothing was changed. Correct spec.files, or "
            "leave Files out of spec.components.",
        )
    held = manifest.files
    return Tally(held.files, held.folders, held.links, held.content_bytes)


def check_database(plan: ReadingPlan, mounts: Mounts, identities: Identities, head: DumpHead, dump: int) -> Checked:
    """Raises with the first obstacle, when all are in the log. `dump`: the size of the dump."""
    with Session(identities.privileged, MAINTENANCE) as session:
        live = databases.require(session, plan.database.name)
        with Session(identities.owner, plan.database.name) as own:
            by_admin, found = _by_catalogs(identities, head, live, own, session)
            room = _room(plan, mounts, own, session, dump)
        allowed = plan.allow_replication_loss
        found += blockers(session, identities, [live.oid], allow_replication_loss=allowed)
        found += _too_small(room)
        for obstacle in found:
            log.error("%s: %s", obstacle.reason, obstacle.message)
        if found:
            raise found[0]
        return Checked(live, room, by_admin, session.server_version_text)


def _by_catalogs(
    identities: Identities, head: DumpHead, live: Database, own: Session, privileged: Session
) -> tuple[tuple[DumpedExtension, ...], list[RunFailed]]:
    me, who = preflight.role(own, live.owner), preflight.role(privileged, live.owner)
    offered = preflight.offered(own)
    admin = who if identities.admin else None
    server = identities.owner
    obstacles = [
        *preflight.version_obstacles(server, head, own.server_version),
        *preflight.role_obstacles(server, head, me, preflight.other_roles(own)),
        *preflight.extension_obstacles(server, head, me, admin, offered),
        *preflight.privilege_obstacles(identities, who),
        *preflight.setting_obstacles(identities, preflight.live_settings(privileged, live.oid)),
    ]
    return preflight.for_admin(head, me, offered), obstacles


def _room(plan: ReadingPlan, mounts: Mounts, own: Session, privileged: Session, dump: int) -> Room:
    """Raises if it is not known how much there is: a load onto a volume without room takes the live database down."""
    size = max(int(own.value("SELECT pg_database_size(current_database())")), _EXPANDS * dump)
    load = Load(size, int(own.value("SELECT coalesce(max(pg_relation_size(indexrelid)), 0) FROM pg_index")))
    volume = _volume(plan, mounts)
    if volume:
        return room_for(privileged, load, volume)
    needed = room_for(privileged, load, Volume(0))
    raise RunFailed(
        Reason.NO_SPACE,
        f"It is not known how much space the server at {own.server.address} has, and a second copy beside the live database takes "
        f"{readable_size(needed.needed_bytes + needed.reserve_bytes)}: set spec.database.claimName to the claim of the server's data, or "
        "spec.database.freeSpace. Nothing was changed.",
    )


def _volume(plan: ReadingPlan, mounts: Mounts) -> Volume | None:
    if plan.room.free_bytes is not None:
        return Volume(plan.room.free_bytes)
    if plan.room.claim_name is None:
        return None
    found = os.statvfs(mounts.server_volume)
    return Volume(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def _too_small(room: Room) -> Iterator[RunFailed]:
    if room.lack:
        yield RunFailed(Reason.NO_SPACE, room.lack)
