"""A bundle is verified from its first to its last byte, and its members are taken one after the other."""

import logging
from collections.abc import Callable

from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner.bundle.member_stream import Member
from quotenode_backup.runner.bundle.reader import Reading, Restorer
from quotenode_backup.runner.bundle.streams import Unpacked
from quotenode_backup.runner.files.gunzip import gunzipped
from quotenode_backup.runner.files.tar_reader import Stream
from quotenode_backup.runner.postgres import clients
from quotenode_backup.runner.process.environment import child_environment
from quotenode_backup.runner.process.program import Context
from quotenode_backup.runner.process.threads import Throttled, supervise
from quotenode_backup.runner.store.bundle_source import BundleSource, Verified, verify

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 10.0


def verified(source: BundleSource, context: Context, also: Callable[[], None] = lambda: None) -> Verified:
    """`also` is called about once a second and may raise."""
    newest = clients.installed(context.mounts.clients)[-1]  # can read the dumps of all others
    reading = Reading(Restorer(newest, child_environment(context.mounts), context.redact))
    progress = Throttled(PROGRESS_SECONDS, lambda: log.info("Verified %s", readable_size(reading.size)))

    def watch() -> None:
        context.signals.require_none()
        also()
        progress()

    log.info("Verifying %s", source.shown)
    [found] = supervise([lambda: verify(source, reading)], kill=reading.kill, watch=watch)
    log.info("%s is whole: %s", source.shown, readable_size(reading.size))
    return found


def files_of(member: Member) -> Stream:
    """What the archive of the files decompresses to."""
    return Unpacked(gunzipped(member.chunks()))
