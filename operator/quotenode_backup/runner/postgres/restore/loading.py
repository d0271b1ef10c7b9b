"""A load from beginning to end: whatever goes wrong, the copy is dropped at once, and only a whole one gets the comment that lets it be swapped in."""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress

from quotenode_backup.domain.reasons import RunFailed
from quotenode_backup.runner.postgres.restore import scratch
from quotenode_backup.runner.postgres.restore.feed import Chunk
from quotenode_backup.runner.postgres.restore.growth import GrowthWatch
from quotenode_backup.runner.postgres.restore.identities import Identities
from quotenode_backup.runner.postgres.restore.load import Load
from quotenode_backup.runner.postgres.restore.marker import Marker
from quotenode_backup.runner.postgres.restore.row_counts import Counted
from quotenode_backup.runner.postgres.restore.statements import StatementSession
from quotenode_backup.runner.process.threads import supervise

log = logging.getLogger(__name__)


def load_into_scratch(
    identities: Identities,
    load: Load,
    chunks: Iterable[Chunk],
    marker: Marker,
    growth: GrowthWatch,
    watch: Callable[[], None],
) -> tuple[Marker, Counted]:
    """The marker of the complete copy. `watch` is called about once a second and may raise, as for a signal."""

    def check() -> None:
        watch()
        growth.check()

    try:
        [counted] = supervise([lambda: load.run(chunks)], kill=load.kill, watch=check)
        with StatementSession(load.server, load.programs.scratch) as session:
            return scratch.mark_complete(session, load.programs.scratch, marker), counted
    except BaseException:
        load.kill()
        _drop(identities, marker)
        raise


def _drop(identities: Identities, marker: Marker) -> None:
    """If the server does not answer now, the next attempt drops it."""
    with suppress(RunFailed):
        scratch.remove(identities, marker.restore_uid)
