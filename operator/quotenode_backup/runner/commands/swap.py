"""`python -m quotenode_backup swap` puts what was loaded in the place of what is live, or goes on with a swap that was begun.

`pg_database` alone decides on which side a restore is that replaces a database: the live name has the new database once the swap is committed. What an
earlier attempt has left is settled first, from what is on the disk and on the server. A success means that everything is on the new side.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from quotenode_backup.contract.restore_plans import RestoreSwapPlan, SwapSide
from quotenode_backup.contract.restore_results import SwapResult
from quotenode_backup.contract.results import AuditOutcome
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.swap import Side as FilesSide
from quotenode_backup.runner.commands.database_swap import DatabaseSwap
from quotenode_backup.runner.commands.files_swap import FilesSwap, files_swap
from quotenode_backup.runner.commands.restore_target import identities_of, live_folders
from quotenode_backup.runner.files.journal import LoadedDatabase
from quotenode_backup.runner.postgres.restore.side import Side
from quotenode_backup.runner.postgres.restore.swap import LOOK_SECONDS, LOOKS
from quotenode_backup.runner.postgres.sessions import DatabaseLock
from quotenode_backup.runner.process import plan_io, program
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.process.program import Command, Context
from quotenode_backup.runner.process.signals import Unfinished
from quotenode_backup.runner.process.threads import pause

log = logging.getLogger(__name__)

A_SWAP = Unfinished("the swap began, and nothing was changed", "the swap is tried again")
_FILES = {Side.NEW: FilesSide.NEW, Side.OLD: FilesSide.OLD}


def main(arguments: Sequence[str], mounts: Mounts | None = None) -> int:
    return program.run(Command(RestoreSwapPlan, SwapResult, swap, A_SWAP, _with_side), arguments, mounts)


def _with_side(plan: RestoreSwapPlan, context: Context, result: SwapResult) -> SwapResult:
    """What is live after an attempt that failed. If even that fails, nobody can tell, as a result says by itself."""
    with _opened(plan, context) as one:
        return result.model_copy(update={"side": one.looked_up()})


def swap(plan: RestoreSwapPlan, context: Context) -> SwapResult:
    begun = False
    try:
        with _opened(plan, context) as one, DatabaseLock(identities_of(plan, context).owner) as lock:
            lock.acquire()
            context.signals.require_none()
            context.signals.block()  # a swap is made or taken back, and never given up in the middle
            begun = True
            return one.go()
    except RunFailed as failure:
        if begun or not plan.is_first:
            raise
        log.error("%s: %s", failure.reason, failure.message)
        return plan_io.failed(plan, failure, SwapResult).model_copy(update={"side": SwapSide.OLD})


@contextmanager
def _opened(plan: RestoreSwapPlan, context: Context) -> Iterator["Swap"]:
    database = DatabaseSwap(plan, identities_of(plan, context))
    with live_folders(plan, context) as live, files_swap(plan, live) as files:
        yield Swap(plan, database, files)


class Swap:
    """One attempt, which holds the lock of the database."""

    def __init__(self, plan: RestoreSwapPlan, database: DatabaseSwap, files: FilesSwap) -> None:
        self._plan, self._database, self._files = plan, database, files

    def go(self) -> SwapResult:
        began = time.monotonic()
        found = self._settle_earlier()
        if found is Side.NEW:
            return self._done(began, None, self._files.settle(FilesSide.NEW))
        if not self._plan.restores_database:
            self._files.move(self._files.begin(None))
            return self._done(began, None, self._files.settle(FilesSide.NEW))
        return self._with_database()

    def looked_up(self) -> SwapSide:
        """A side is known only if nothing is on its way. After a failure the new side is for the next attempt to report."""
        side = self._database.found().side if self._plan.restores_database else _side_of(self._files.own_side)
        return SwapSide.OLD if side is Side.OLD and not self._files.is_on_the_way else SwapSide.UNKNOWN

    def _settle_earlier(self) -> Side:
        """On which side the restore is, when what an earlier attempt has begun is finished or taken back."""
        if not self._plan.restores_database:
            side = self._files.own_side
            self._files.settle(side)
            return _side_of(side)
        found = self._database.settled().side
        if found is Side.UNKNOWN:
            raise _undecided()
        self._files.settle(_FILES[found])
        return found

    def _with_database(self) -> SwapResult:
        prepared = self._database.prepared()
        rows = self._database.carry_over()
        began = time.monotonic()
        try:
            with self._database.opened(prepared) as swap:
                new = LoadedDatabase(name=self._database.live, oid=prepared.sides.new_oid)
                self._files.move(self._files.begin(new))
                swap.check()
                side = swap.commit()
        except BaseException:
            self._take_back()
            raise
        if side is Side.UNKNOWN:
            raise _undecided()
        late = self._files.settle(_FILES[side])
        if side is Side.OLD:
            raise RunFailed(
                Reason.SWAP_UNFINISHED,
                "The server did not commit the swap: nothing has changed, and it is tried again.",
            )
        return self._done(began, rows, late)

    def _take_back(self) -> None:
        """The transaction is closed. The server may take a moment to see that."""
        for _ in range(LOOKS):
            side = self._database.found().side
            if side is Side.OLD:
                self._files.settle(FilesSide.OLD)
                return
            pause(LOOK_SECONDS)
        raise _undecided()

    def _done(self, began: float, rows: AuditOutcome | None, late: int) -> SwapResult:
        seconds = round(time.monotonic() - began, 2)
        kept = self._database.kept if self._plan.restores_database else None
        made_way = f" {late} entries that somebody wrote meanwhile had to make way, and are kept." if late else ""
        message = f"What was loaded is live; the swap took {seconds:g} s.{made_way}"
        return plan_io.succeeded(self._plan, message, SwapResult).model_copy(
            update={
                "side": SwapSide.NEW,
                "seconds": seconds,
                "kept_database": kept,
                "late": late,
                "note": rows.message if rows else None,
            }
        )


def _side_of(side: FilesSide) -> Side:
    return Side.NEW if side is FilesSide.NEW else Side.OLD


def _undecided() -> RunFailed:
    return RunFailed(
        Reason.SWAP_UNDECIDED,
        "The server does not tell yet whether the swap was committed, so that nothing may be started: the next attempt asks again. If the server is "
        "down, start it.",
    )
