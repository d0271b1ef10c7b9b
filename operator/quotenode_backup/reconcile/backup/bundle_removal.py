"""Removes the bundle of a run that is deleted with deletionPolicy Delete."""

from datetime import timedelta

from quotenode_backup.api.backup import DeletionPolicy
from quotenode_backup.api.backup_status import Destination
from quotenode_backup.cluster.errors import NamespaceTerminating, NameTaken, Refused
from quotenode_backup.cluster.objects import Backup, BackupRun
from quotenode_backup.contract.results import Result
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.followup_job import REMOVE, removal_job
from quotenode_backup.reconcile.backup import status as next_status
from quotenode_backup.reconcile.backup.needs import placement_beside
from quotenode_backup.reconcile.backup.plan import bundle_home, removal_plan
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.jobs.followup import Begin, Done, Failed, Followup, Pause, warning_about
from quotenode_backup.reconcile.reporting.events import of_run
from quotenode_backup.reconcile.reporting.requeue import POLL_EXTERNAL, POLL_REFUSED

UNDER_WAY = "The local bundle is being removed"


class BundleRemoval:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._followup = Followup(context, REMOVE, Result)

    async def release_finalizer(self, run: Backup) -> timedelta | None:
        """Take the finalizer off once the bundle is gone, or is not to be removed, or can't be removed."""
        if not run.has_finalizer:
            return None
        if isinstance(run, BackupRun) and run.spec.deletion_policy is DeletionPolicy.DELETE:
            bundle = next(iter(run.status.destinations), None) or _marked_bundle(run) or _unseen_bundle(run)
            if bundle:
                return await self._remove(run, bundle)
        await self._release(run)
        return None

    async def _remove(self, run: BackupRun, bundle: Destination) -> timedelta | None:
        match await self._followup.next(run.owner, _last_obstacle(run)):
            case Begin(number):
                return await self._begin(run, bundle, number)
            case Pause() as pause:
                return await self._wait(run, pause)
            case Done():
                await self._release(run)
            case Failed(reason=reason, message=message, requeue_after=requeue_after):
                await self._context.events.record(of_run(run, reason, message, warning=True, about="removal"))
                if reason is not Reason.RETENTION_FAILED:
                    failure = f"The bundle could not be removed; this is tried again: {message}"
                    await self._write(run, failure, _last_obstacle(run))
                    return requeue_after
                await self._release(run)
        return None

    async def _wait(self, run: BackupRun, pause: Pause) -> timedelta:
        obstacle = pause.obstacle or await warning_about(self._context.cluster, run.namespace, pause.job, pause.pods)
        if obstacle:
            await self._write(run, f"The Job that removes the bundle waits: {obstacle}", obstacle)
        elif _last_obstacle(run) and _has_its_pod(pause):
            await self._write(run, UNDER_WAY)
        return pause.requeue_after

    async def _begin(self, run: BackupRun, bundle: Destination, number: int) -> timedelta | None:
        claim = await self._context.cluster.pods.read_claim(run.namespace, bundle.claim_name)
        if claim is None:
            await self._release(run)
            return None
        placement = await placement_beside(self._context.cluster, run, claim, bundle.user_id)
        plan = removal_plan(run, bundle, number, self._context.clock())
        try:
            await self._context.cluster.jobs.ensure(removal_job(plan, run.spec.pod, placement, self._context.settings))
        except NamespaceTerminating:
            await self._release(run)
            return None
        except (Refused, NameTaken) as exc:
            await self._write(run, f"The cluster refuses the Job that removes the bundle: {exc}")
            return POLL_REFUSED
        await self._write(run, UNDER_WAY)
        return POLL_EXTERNAL

    async def _release(self, run: Backup) -> None:
        await self._context.cluster.backups.set_finalizer(run, present=False)

    async def _write(self, run: Backup, message: str, obstacle: str = "") -> None:
        status = next_status.removing(run, message, self._context.clock(), obstacle)
        await self._context.cluster.backups.write_status(run, status)


def _last_obstacle(run: Backup) -> str:
    """What kept the Job's pod from running. It is kept in the status, since the Job's deadline deletes the pod."""
    return run.status.removal.obstacle if run.status.removal else ""


def _has_its_pod(pause: Pause) -> bool:
    """Whether the Job has a pod that is to stay. A Job whose deadline has passed loses its pod before it counts as failed."""
    return any(pod.job_name == pause.job.name and not pod.deleting for pod in pause.pods)


def _marked_bundle(run: Backup) -> Destination | None:
    """The bundle that the annotation of a recreated run names, which may exist although nobody has looked for it yet."""
    bundle = run.mark.bundle if run.mark else None
    if bundle is None:
        return None
    return Destination(type="Local", claim_name=bundle.claim_name, path=bundle.path, user_id=bundle.user_id)


def _unseen_bundle(run: BackupRun) -> Destination | None:
    """The folder to search for a bundle that a run may have stored although it did not complete."""
    if not run.status.attempts:
        return None
    user = run.status.attempts[-1].user_id
    claim = run.spec.storage.local.claim_name
    return Destination(type="Local", claim_name=claim, path=bundle_home(run), user_id=user)
