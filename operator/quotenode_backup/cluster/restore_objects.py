"""A QuoteNodeRestore as a value."""

from dataclasses import dataclass
from datetime import datetime

from quotenode_backup.api.restore import RestoreSpec
from quotenode_backup.api.restore_status import RestoreStatus
from quotenode_backup.cluster.objects import Run
from quotenode_backup.domain import timing
from quotenode_backup.domain.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore(Run):
    status: RestoreStatus

    @property
    def target(self) -> Target | None:
        """None as long as it has not been looked up in the backup that the restore inherits it from."""
        known = self.status.target
        return Target(self.namespace, known.host, known.port, known.name) if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRun(Restore):
    spec: RestoreSpec

    @property
    def target(self) -> Target | None:
        given = self.spec.database
        # super() without arguments does not work in a class with slots.
        return given.in_namespace(self.namespace) if given else super(RestoreRun, self).target

    @property
    def deadline(self) -> datetime | None:
        """None once data has been replaced, and where none is set: no clock ends the restore then."""
        seconds = self.spec.active_deadline_seconds
        if seconds is None or self.status.stopped or self.status.point_of_no_return:
            return None
        return timing.deadline(self.began, seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableRestore(Restore):
    """A restore whose spec does not fit our types, since it was created under another release's CRD."""

    fault: str
    """A sentence about what does not fit."""


AnyRestore = RestoreRun | UnreadableRestore
"""The types that a QuoteNodeRestore is parsed into."""
