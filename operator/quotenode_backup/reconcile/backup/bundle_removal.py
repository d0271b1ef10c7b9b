"""The bundle of a run that is deleted with deletionPolicy Delete."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from quotenode_backup.api.backup import BackupSpec, DeletionPolicy
from quotenode_backup.api.backup_status import ConditionType, Destination
from quotenode_backup.cluster.errors import NamespaceTerminating, NameTaken, Refused
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Pod, Run
from quotenode_backup.contract.results import Result
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.followup_job import REMOVE, removal_job
from quotenode_backup.manifests.pod import RunnerSettings
from quotenode_backup.reconcile.backup import status as next_status
from quotenode_backup.reconcile.backup.placement import IMAGE_USER, beside
from quotenode_backup.reconcile.backup.plan import bundle_home, removal_plan
from quotenode_backup.reconcile.jobs.followup import NO_RESULT, Begin, Done, Failed, Pause, next_task
from quotenode_backup.reconcile.reporting.events import Teller
from quotenode_backup.reconcile.reporting.requeue import LOCK_TICK, REFUSED_TICK

_WAITS = "The Job that removes the bundle waits: "


class BundleRemoval:
    def __init__(self, cluster: Cluster, settings: RunnerSettings, tell: Teller, clock: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._settings = settings
        self._tell = tell
        self._clock = clock

    async def let_go(self, run: Run) -> timedelta | None:
        """The finalizer goes when the bundle is gone, or nobody can or wants to remove it."""
        if not run.has_finalizer:
            return None
        bundle = next(iter(run.status.destinations), None) or _marked_bundle(run) or _unseen_bundle(run)
        is_wanted = run.spec is not None and run.spec.deletion_policy is DeletionPolicy.DELETE
        if run.spec is None or not is_wanted or bundle is None:
            await self._cluster.keep_finalizer(run, False)
            return None
        return await self._remove(run, run.spec, bundle)

    async def _remove(self, run: Run, spec: BackupSpec, bundle: Destination) -> timedelta | None:
        jobs = await self._cluster.tasks_of(run.namespace, REMOVE, run.uid)
        pods = await self._cluster.task_pods_of(run.namespace, REMOVE, run.uid)
        match next_task(run.uid, jobs, pods, self._clock(), Result, _last_obstacle(run)):
            case Begin(number):
                return await self._begin_removal(run, spec, bundle, number)
            case Pause(again, job, obstacle):
                why = obstacle or await self._warning(run, job, pods)
                return await self._say_removing(run, f"{_WAITS}{why}", again) if why else again
            case Done(_):
                await self._cluster.keep_finalizer(run, False)
            case Failed(_, Reason.RETENTION_FAILED, message, _):
                await self._tell(run, Reason.RETENTION_FAILED, message, self._clock(), warning=True, about="removal")
                await self._cluster.keep_finalizer(run, False)
            case Failed(_, reason, message, again):
                await self._tell(run, reason, message, self._clock(), warning=True, about="removal")
                return await self._say_removing(
                    run, f"The bundle can't be removed, and is tried again: {message}", again
                )
        return None

    async def _begin_removal(self, run: Run, spec: BackupSpec, bundle: Destination, number: int) -> timedelta | None:
        claim = await self._cluster.read_claim(run.namespace, bundle.claim_name)
        if claim is None:
            await self._cluster.keep_finalizer(run, False)
            return None
        mounters = (await self._cluster.mounters_of(run.namespace, {claim.name}))[claim.name]
        placement = beside(bundle.user_id or spec.pod.run_as_user or IMAGE_USER, claim, mounters)
        plan = removal_plan(run, bundle, number, self._clock())
        try:
            await self._cluster.ensure_task(removal_job(plan, spec.pod, placement, self._settings))
        except NamespaceTerminating:
            await self._cluster.keep_finalizer(run, False)
            return None
        except (Refused, NameTaken) as exc:
            return await self._say_removing(
                run, f"The cluster refuses the Job that removes the bundle: {exc}", REFUSED_TICK
            )
        return await self._say_removing(run, "The local bundle is being removed", LOCK_TICK)

    async def _warning(self, run: Run, job: str, pods: Sequence[Pod]) -> str:
        """Why the Job's pod does not come up, as far as only Events say it."""
        pod = next((pod for pod in pods if pod.job_name == job), None)
        if pod is None:
            return await self._cluster.newest_warning(run.namespace, "Job", job, "FailedCreate")
        if pod.phase == "Pending":
            return await self._cluster.newest_warning(run.namespace, "Pod", pod.name, "FailedMount")
        return ""

    async def _say_removing(self, run: Run, message: str, again: timedelta) -> timedelta:
        await self._cluster.write_status(run, next_status.removing(run, message, self._clock()))
        return again


def _last_obstacle(run: Run) -> str:
    """As told while the Job was there, or since: its deadline takes the pod, and its reason, away."""
    condition = run.status.condition(ConditionType.LOCAL_BUNDLE_PRESENT)
    told = condition.message if condition else ""
    return told.partition(_WAITS)[2] or told.partition(NO_RESULT)[2]


def _marked_bundle(run: Run) -> Destination | None:
    """Of a run that came back without its status: it may be there, though nobody has looked."""
    bundle = run.mark.bundle if run.mark else None
    if bundle is None:
        return None
    return Destination(type="Local", claim_name=bundle.claim_name, path=bundle.path, user_id=bundle.user_id)


def _unseen_bundle(run: Run) -> Destination | None:
    """A run that was begun and did not complete may have stored one all the same: where that would be, as a folder to look through."""
    if run.spec is None or not run.status.attempts:
        return None
    user = run.status.attempts[-1].user_id
    claim = run.spec.storage.local.claim_name
    return Destination(type="Local", claim_name=claim, path=bundle_home(run, run.spec), user_id=user)
