"""The database's half of a swap: on which side it is, and the transaction that changes that."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from quotenode_backup.contract.restore_plans import RestoreSwapPlan
from quotenode_backup.contract.results import AuditOutcome
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.restore_names import kept_name, scratch_name
from quotenode_backup.runner.postgres.restore import databases, scratch
from quotenode_backup.runner.postgres.restore.carry_over import carry_over
from quotenode_backup.runner.postgres.restore.databases import Database
from quotenode_backup.runner.postgres.restore.identities import Identities
from quotenode_backup.runner.postgres.restore.marker import Marker
from quotenode_backup.runner.postgres.restore.side import Side, Sides, end_open_swap, read_side
from quotenode_backup.runner.postgres.restore.statements import StatementSession
from quotenode_backup.runner.postgres.restore.swap import (
    OpenSwap,
    SwapPlan,
    not_loaded,
    open_swap,
    plan_swap,
    plan_undo,
)
from quotenode_backup.runner.postgres.sessions import MAINTENANCE

_IDENTIFIER = "SELECT system_identifier FROM pg_control_system()"


@dataclass(frozen=True, slots=True)
class FoundSides:
    side: Side
    sides: Sides | None
    """None if there is only one database, so that none can change places."""


class DatabaseSwap:
    def __init__(self, plan: RestoreSwapPlan, identities: Identities) -> None:
        self._plan, self._identities = plan, identities

    @property
    def live(self) -> str:
        return self._plan.database.name

    @property
    def kept(self) -> str:
        """What the replaced database is called."""
        return kept_name(self.live, self._plan.run_uid)

    @property
    def _incoming(self) -> str:
        undo_of = self._plan.undo_of
        return kept_name(self.live, undo_of) if undo_of else scratch_name(self._plan.run_uid)

    def found(self) -> FoundSides:
        with StatementSession(self._identities.privileged, MAINTENANCE) as session:
            return self._found(session)

    def _found(self, session: StatementSession) -> FoundSides:
        live, kept = databases.find(session, self.live), databases.find(session, self.kept)
        incoming, identifier = databases.find(session, self._incoming), int(session.value(_IDENTIFIER))
        if live and kept and self._is_replaced_by(kept, live):
            return _as_read(session, Sides(self.live, kept.oid, live.oid, identifier))
        if live and incoming:
            return _as_read(session, Sides(self.live, live.oid, incoming.oid, identifier))
        return FoundSides(Side.OLD if live and not kept else Side.UNKNOWN, None)

    def _is_replaced_by(self, kept: Database, live: Database) -> bool:
        marker = kept.marker
        return marker is not None and marker.restore_uid == self._plan.run_uid and marker.oid == live.oid

    def settled(self) -> FoundSides:
        """The same, when what a dead runner has left open on the server is ended. The caller holds the lock of the database."""
        with StatementSession(self._identities.privileged, MAINTENANCE) as session:
            before = self._found(session)
            if before.sides and not end_open_swap(session, before.sides):
                return FoundSides(Side.UNKNOWN, before.sides)
            return self._found(session)

    def prepared(self) -> SwapPlan:
        """What will be renamed. An earlier attempt that may still be alive somewhere cannot swap any more after it."""
        with StatementSession(self._identities.privileged, MAINTENANCE) as session:
            identifier = int(session.value(_IDENTIFIER))
            live, incoming = databases.require(session, self.live), databases.find(session, self._incoming)
            if self._plan.undo_of:
                if incoming is None:
                    raise _not_kept(self._incoming)
                return plan_undo(live, incoming, identifier, self._marker)
            if incoming is None or not scratch.claim(session, incoming, self._plan.attempt):
                raise not_loaded("there is no complete copy beside the live database")
            claimed = databases.find(session, self._incoming)
            return plan_swap(live, claimed, identifier, self._marker)

    def carry_over(self) -> AuditOutcome | None:
        """The rows of backup_logs since the backup, which the live database has and the copy has not. Not for an undo, which puts back a database that
        was live."""
        plan = self._plan
        if plan.undo_of:
            return None
        own = (plan.own_row_id, plan.own_row) if plan.own_row and plan.own_row_id else None
        return carry_over(self._identities.owner, self.live, self._incoming, own)

    @contextmanager
    def opened(self, prepared: SwapPlan) -> Iterator[OpenSwap]:
        allowed = self._plan.allow_replication_loss
        with open_swap(self._identities, prepared, allow_replication_loss=allowed) as swap:
            yield swap

    @property
    def _marker(self) -> Marker:
        plan = self._plan
        return Marker(
            state="Kept",
            database=self.live,
            restore_uid=plan.run_uid,
            attempt=plan.attempt,
            bundle_sha256=plan.bundle_sha256,
            expires=plan.expires,
        )


def _as_read(session: StatementSession, sides: Sides) -> FoundSides:
    return FoundSides(read_side(session, sides), sides)


def _not_kept(name: str) -> RunFailed:
    return RunFailed(
        Reason.SOURCE_MISSING,
        f"Database {name}, which the earlier restore had replaced, is not there any more, so it cannot be undone: restore a backup from before it.",
    )
