"""The small Jobs that follow a run: they write its row in backup_logs, or remove or look for its bundle."""

from datetime import timedelta

from quotenode_backup.api.backup import KIND
from quotenode_backup.api.database import Database
from quotenode_backup.api.pod import Pod
from quotenode_backup.contract import paths
from quotenode_backup.contract.plans import Plan, RecordPlan, RemovalPlan, SearchPlan
from quotenode_backup.domain import timing
from quotenode_backup.manifests.placement import Placement
from quotenode_backup.manifests.pod import (
    Manifest,
    RunnerSettings,
    Work,
    claim_volume,
    database_mounts,
    database_volumes,
    mount,
    runner_job,
)

RECORD = "record"
REMOVE = "remove"
FIND = "find"
"""The step labels of the Jobs, and the runner's commands."""
KEPT_SECONDS = 86400
"""A finished Job is kept for a day, for its log and because the Jobs are the record of how often a step was tried."""


def record_job(
    plan: RecordPlan, database: Database, pod: Pod, placement: Placement, settings: RunnerSettings
) -> Manifest:
    volumes, mounts = tuple(database_volumes(database)), tuple(database_mounts(database))
    return _job(plan, Work(RECORD, volumes, mounts), pod, placement, settings)


def removal_job(plan: RemovalPlan, pod: Pod, placement: Placement, settings: RunnerSettings) -> Manifest:
    volume = claim_volume("claim", plan.local.claim_name)
    mounts = (mount("claim", paths.DESTINATION, read_only=False),)
    return _job(plan, Work(REMOVE, (volume,), mounts, leaves_modes=True), pod, placement, settings)


def search_job(plan: SearchPlan, pod: Pod, placement: Placement, settings: RunnerSettings) -> Manifest:
    volume = claim_volume("claim", plan.local.claim_name, read_only=True)
    work = Work(FIND, (volume,), (mount("claim", paths.DESTINATION),))
    return _job(plan, work, pod, placement, settings, timing.search_time(plan.size_bytes))


def _job(
    plan: Plan,
    work: Work,
    pod: Pod,
    placement: Placement,
    settings: RunnerSettings,
    time: timedelta = timing.FOLLOWUP_TIME,
) -> Manifest:
    """The Job has no owner reference, since a foreground deletion of the run would delete the very Job that it waits
    for. It has default resources, since those of the run may be why the run's own Job failed.
    """
    job = runner_job(plan, KIND, work, pod.model_copy(update={"resources": None}), placement, settings)
    seconds = int((time + timing.FOLLOWUP_BACKSTOP).total_seconds())
    job["spec"] |= {"activeDeadlineSeconds": seconds, "ttlSecondsAfterFinished": KEPT_SECONDS}
    return job
