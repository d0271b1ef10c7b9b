"""A run that came back without its status: what its annotation says becomes its status again, once its bundle has been found."""

from collections.abc import Callable
from datetime import datetime, timedelta

from quotenode_backup.api.finished_mark import MarkedBundle
from quotenode_backup.api.pod import Pod
from quotenode_backup.cluster.errors import NameTaken, Refused
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Claim, Run
from quotenode_backup.contract.results import SearchResult
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.followup_job import FIND, search_job
from quotenode_backup.manifests.pod import Placement, RunnerSettings
from quotenode_backup.reconcile.backup import restored
from quotenode_backup.reconcile.backup.placement import IMAGE_USER, beside
from quotenode_backup.reconcile.backup.plan import search_plan
from quotenode_backup.reconcile.jobs.followup import Begin, Done, Failed, Pause, next_task
from quotenode_backup.reconcile.reporting.events import Teller
from quotenode_backup.reconcile.reporting.requeue import LOCK_TICK, NOW, REFUSED_TICK, TICK

MOST_AT_ONCE = 4
"""Jobs in a namespace: hundreds of runs can come back together, and each Job reads a whole bundle."""


class BundleSearch:
    def __init__(self, cluster: Cluster, settings: RunnerSettings, tell: Teller, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._settings = settings
        self._tell = tell
        self._clock = clock

    async def receive(self, run: Run) -> timedelta:
        """The first pass over a run that came back: from here on it has a status, and counts as ended for everybody."""
        if run.mark is None:
            raise ValueError("only a run with a mark can come back")
        now = self._clock()
        await self._tell(run, Reason.RESTORED, restored.sentence_about(run.mark), now, warning=False)
        await self._cluster.write_status(run, restored.restored(run, run.mark, now))
        return NOW

    async def look(self, run: Run) -> timedelta | None:
        """When to look again; None: when something happens."""
        bundle = run.mark.bundle if run.mark else None
        if bundle is None:
            await self._give_up(run, "its annotation, which said where its bundle was, is gone")
            return None
        claim = await self._cluster.read_claim(run.namespace, bundle.claim_name)
        if claim is None:
            words = f"PersistentVolumeClaim {bundle.claim_name} does not exist, and was the bundle's: create it, or restore it"
            return await self._say(run, words, REFUSED_TICK)
        return await self._look_in(run, bundle, claim)

    async def _look_in(self, run: Run, bundle: MarkedBundle, claim: Claim) -> timedelta | None:
        jobs = await self._cluster.tasks_of(run.namespace, FIND, run.uid)
        pods = await self._cluster.task_pods_of(run.namespace, FIND, run.uid)
        match next_task(run.uid, jobs, pods, self._clock(), SearchResult):
            case Begin(number):
                return await self._begin(run, bundle, claim, number)
            case Pause(again, _, obstacle):
                return (
                    await self._say(run, f"The Job that looks for the bundle waits: {obstacle}", again)
                    if obstacle
                    else again
                )
            case Done(result):
                return await self._conclude(run, bundle, result)
            case Failed(number, _, message, again):
                words = f"The bundle could not be looked for ({number} tries so far), which is tried again: {message}"
                return await self._say(run, words, again)

    async def _begin(self, run: Run, bundle: MarkedBundle, claim: Claim, number: int) -> timedelta:
        if await self._cluster.count_tasks_under_way(run.namespace, FIND) >= MOST_AT_ONCE:
            return TICK
        plan = search_plan(run, bundle, number, self._clock())
        placement = await self._placement(run, bundle, claim)
        pod = run.spec.pod if run.spec else Pod()
        try:
            await self._cluster.ensure_task(search_job(plan, pod, placement, self._settings))
        except (Refused, NameTaken) as exc:
            return await self._say(run, f"The cluster refuses the Job that looks for the bundle: {exc}", REFUSED_TICK)
        return LOCK_TICK

    async def _placement(self, run: Run, bundle: MarkedBundle, claim: Claim) -> Placement:
        mounters = (await self._cluster.mounters_of(run.namespace, {claim.name}))[claim.name]
        user = bundle.user_id or (run.spec.pod.run_as_user if run.spec else None) or IMAGE_USER
        return beside(user, claim, mounters)

    async def _conclude(self, run: Run, bundle: MarkedBundle, result: SearchResult) -> timedelta | None:
        if result.bundle is None or not restored.is_the_marked(result.bundle, bundle):
            await self._give_up(run, result.message)
            return None
        now = self._clock()
        message = f"{result.message} The run came back without its status, which was rebuilt"
        await self._tell(run, Reason.BUNDLE_FOUND, message, now, warning=False)
        status = restored.found(run, bundle.claim_name, result.bundle, message, now)
        await self._cluster.write_status(run, status)
        return None

    async def _give_up(self, run: Run, why: str) -> None:
        now = self._clock()
        status = restored.missing(run, run.status, why, now)
        await self._tell(run, Reason.BUNDLE_MISSING, f"The bundle was not found: {why}", now, warning=True)
        await self._cluster.write_status(run, status)

    async def _say(self, run: Run, message: str, again: timedelta) -> timedelta:
        await self._cluster.write_status(run, restored.searching(run, message, self._clock()))
        return again
