"""A run that was recreated without its status: the status is rebuilt from its annotation once its bundle is found."""

from datetime import timedelta

from quotenode_backup.api.finished_mark import MarkedBundle
from quotenode_backup.api.pod import Pod
from quotenode_backup.cluster.errors import NameTaken, Refused
from quotenode_backup.cluster.objects import Backup, BackupRun, Claim
from quotenode_backup.contract.results import SearchResult
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.followup_job import FIND, search_job
from quotenode_backup.reconcile.backup import recreated
from quotenode_backup.reconcile.backup.needs import placement_beside
from quotenode_backup.reconcile.backup.plan import search_plan
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.jobs.followup import Begin, Done, Failed, Followup, Pause
from quotenode_backup.reconcile.reporting.events import of_run
from quotenode_backup.reconcile.reporting.requeue import NOW, POLL, POLL_EXTERNAL, POLL_REFUSED

MOST_AT_ONCE = 4
"""Jobs in a namespace, since hundreds of runs can be recreated at once and each Job reads a whole bundle."""


class BundleSearch:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._followup = Followup(context, FIND, SearchResult)

    async def receive(self, run: Backup) -> timedelta:
        """The first pass over a recreated run. From here on the run has a status and counts as finished."""
        if run.mark is None:
            raise ValueError("only a run with a mark can be received")
        now = self._context.clock()
        await self._context.events.record(of_run(run, Reason.RECREATED, recreated.sentence_about(run.mark)))
        await self._context.cluster.backups.write_status(run, recreated.recreated(run, run.mark, now))
        return NOW

    async def search(self, run: Backup) -> timedelta | None:
        """How long until the next pass; None: not before a watch event."""
        bundle = run.mark.bundle if run.mark else None
        if bundle is None:
            await self._give_up(run, "the annotation that named its path is gone")
            return None
        claim = await self._context.cluster.pods.read_claim(run.namespace, bundle.claim_name)
        if claim is None:
            message = f"PersistentVolumeClaim {bundle.claim_name} does not exist, but held the bundle: restore it"
            return await self._write(run, message, POLL_REFUSED)
        return await self._look_in(run, bundle, claim)

    async def _look_in(self, run: Backup, bundle: MarkedBundle, claim: Claim) -> timedelta | None:
        match await self._followup.next(run.owner):
            case Begin(number):
                return await self._begin(run, bundle, claim, number)
            case Pause(requeue_after, obstacle):
                message = f"The Job that looks for the bundle waits: {obstacle}"
                return await self._write(run, message, requeue_after) if obstacle else requeue_after
            case Done(result):
                return await self._conclude(run, bundle, result)
            case Failed(number, _, message, requeue_after):
                message = f"The search for the bundle failed ({number} tries so far) and is tried again: {message}"
                return await self._write(run, message, requeue_after)

    async def _begin(self, run: Backup, bundle: MarkedBundle, claim: Claim, number: int) -> timedelta:
        if await self._context.cluster.jobs.count_under_way(run.namespace, FIND) >= MOST_AT_ONCE:
            return POLL
        plan = search_plan(run, bundle, number, self._context.clock())
        placement = await placement_beside(self._context.cluster, run, claim, bundle.user_id)
        pod = run.spec.pod if isinstance(run, BackupRun) else Pod()
        try:
            await self._context.cluster.jobs.ensure(search_job(plan, pod, placement, self._context.settings))
        except (Refused, NameTaken) as exc:
            return await self._write(run, f"The cluster refuses the Job that looks for the bundle: {exc}", POLL_REFUSED)
        return POLL_EXTERNAL

    async def _conclude(self, run: Backup, bundle: MarkedBundle, result: SearchResult) -> timedelta | None:
        if result.bundle is None or not recreated.is_the_marked(result.bundle, bundle):
            await self._give_up(run, result.message)
            return None
        now = self._context.clock()
        message = f"{result.message} The run was recreated without its status, which has been rebuilt"
        await self._context.events.record(of_run(run, Reason.BUNDLE_FOUND, message))
        status = recreated.found(run, bundle.claim_name, result.bundle, message, now)
        await self._context.cluster.backups.write_status(run, status)
        return None

    async def _give_up(self, run: Backup, why: str) -> None:
        now = self._context.clock()
        status = recreated.missing(run, run.status, why, now)
        message = f"The bundle was not found: {why}"
        await self._context.events.record(of_run(run, Reason.BUNDLE_MISSING, message, warning=True))
        await self._context.cluster.backups.write_status(run, status)

    async def _write(self, run: Backup, message: str, requeue_after: timedelta) -> timedelta:
        await self._context.cluster.backups.write_status(run, recreated.searching(run, message, self._context.clock()))
        return requeue_after
