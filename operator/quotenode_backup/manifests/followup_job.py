"""The Jobs of what is done after a run: its row is written, its bundle removed or looked for, where the run itself could not."""

from datetime import timedelta

from quotenode_backup.api.database import Database
from quotenode_backup.api.pod import Pod
from quotenode_backup.contract import paths
from quotenode_backup.contract.plans import RecordPlan, RemovalPlan, SearchPlan
from quotenode_backup.domain import timing
from quotenode_backup.domain.naming import task_job_name
from quotenode_backup.manifests import labels
from quotenode_backup.manifests.pod import (
    Manifest,
    Placement,
    RunnerSettings,
    Work,
    claim_volume,
    database_mounts,
    database_volumes,
    mount,
    one_pod_job,
    runner_pod,
)

RECORD = "record"
REMOVE = "remove"
FIND = "find"
KEPT_SECONDS = 86400
"""A finished Job stays for a day: for its log, and as the memory of how often a task was tried."""


def record_job(
    plan: RecordPlan, database: Database, pod: Pod, placement: Placement, settings: RunnerSettings
) -> Manifest:
    volumes, mounts = tuple(database_volumes(database)), tuple(database_mounts(database))
    return _job(plan, Work(RECORD, volumes, mounts), pod, placement, settings)


def removal_job(plan: RemovalPlan, pod: Pod, placement: Placement, settings: RunnerSettings) -> Manifest:
    volume = claim_volume("claim", plan.local.claim_name)
    work = Work(REMOVE, (volume,), (mount("claim", paths.DESTINATION, read_only=False),), leaves_modes=True)
    return _job(plan, work, pod, placement, settings)


def search_job(plan: SearchPlan, pod: Pod, placement: Placement, settings: RunnerSettings) -> Manifest:
    volume = claim_volume("claim", plan.local.claim_name, read_only=True)
    work = Work(FIND, (volume,), (mount("claim", paths.DESTINATION),))
    return _job(plan, work, pod, placement, settings, timing.search_time(plan.size_bytes))


def _job(
    plan: RecordPlan | RemovalPlan | SearchPlan,
    work: Work,
    pod: Pod,
    placement: Placement,
    settings: RunnerSettings,
    time: timedelta = timing.TASK_TIME,
) -> Manifest:
    """Without an owner: a deletion in the foreground would take the Job away that it waits for. And with resources of its own: those of the
    run may be the very reason why it could not do this itself."""
    pod = pod.model_copy(update={"resources": None})
    marks = {
        labels.MANAGED_BY: labels.MANAGER,
        labels.RUN_NAME: plan.name,
        labels.TASK: work.command,
        labels.TASK_FOR: plan.run_uid,
        labels.ATTEMPT: str(plan.attempt),
    }
    text = plan.model_dump_json(by_alias=True, exclude_none=True)
    name = task_job_name(work.command, plan.run_uid, plan.attempt)
    job = one_pod_job(plan.namespace, name, text, marks, pod, runner_pod(work, pod, placement, settings))
    seconds = int((time + timing.TASK_BACKSTOP).total_seconds())
    job["spec"] |= {"activeDeadlineSeconds": seconds, "ttlSecondsAfterFinished": KEPT_SECONDS}
    return job
