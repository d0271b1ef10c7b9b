"""The databases that restores have left, and dropping those whose time is over. Nothing is dropped that lacks our name or our comment."""

from collections.abc import Collection, Iterable
from datetime import datetime

from quotenode_backup.runner.postgres.restore import databases
from quotenode_backup.runner.postgres.restore.databases import Database
from quotenode_backup.runner.postgres.restore.scratch import drop
from quotenode_backup.runner.postgres.restore.statements import StatementSession


def of_target(found: Iterable[Database], target: str) -> list[Database]:
    return [database for database in found if database.marker and database.marker.database == target]


def of_restore(found: Iterable[Database], restore_uid: str) -> list[Database]:
    return [database for database in found if database.marker and database.marker.restore_uid == restore_uid]


def expired(found: Iterable[Database], now: datetime) -> list[Database]:
    return [d for d in found if d.marker and d.marker.expires is not None and d.marker.expires <= now]


def drop_all(session: StatementSession, doomed: Collection[Database]) -> list[Database]:
    """Each is looked at again right before, by its OID: another database may have its name by now. Gives those that were dropped."""
    dropped = []
    for database in doomed:
        now = databases.find(session, database.name)
        if now and now.oid == database.oid and now.marker == database.marker is not None:
            drop(session, now)
            dropped.append(now)
    return dropped
