"""The Job of one attempt of a backup."""

from quotenode_backup.api import API_VERSION
from quotenode_backup.api.backup import KIND
from quotenode_backup.api.database import Database
from quotenode_backup.api.pod import Pod
from quotenode_backup.contract import paths
from quotenode_backup.contract.plans import BackupPlan
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

BACKUP = "backup"
"""The step label of the Job, and the runner's command."""


def backup_job(
    plan: BackupPlan, database: Database, pod: Pod, placement: Placement, settings: RunnerSettings, seconds_left: int
) -> Manifest:
    """`seconds_left` is a backstop: it deletes the pod together with its result, so the plan's deadline is earlier."""
    job = runner_job(plan, KIND, _work(plan, database), pod, placement, settings)
    owner = {"apiVersion": API_VERSION, "kind": KIND, "name": plan.name, "uid": plan.run_uid}
    job["metadata"]["ownerReferences"] = [owner | {"controller": True, "blockOwnerDeletion": False}]
    job["spec"]["activeDeadlineSeconds"] = max(1, seconds_left)
    return job


def _work(plan: BackupPlan, database: Database) -> Work:
    volume = {claim: name for name, claim in _claims(plan)}
    sources = [mount(volume[files.claim_name], f"{paths.SOURCES}/{index}") for index, files in enumerate(plan.files)]
    local = plan.local.claim_name
    claims = [claim_volume(name, claim, read_only=claim != local) for name, claim in _claims(plan)]
    return Work(
        step=BACKUP,
        volumes=(*database_volumes(database), *claims),
        mounts=(*database_mounts(database), *sources, mount(volume[local], paths.DESTINATION, read_only=False)),
        leaves_modes=local in {files.claim_name for files in plan.files},
    )


def _claims(plan: BackupPlan) -> list[tuple[str, str]]:
    """Each claim once, with the name of its volume: of two volumes with the same claim, the kubelet mounts only one."""
    claims = dict.fromkeys([*(files.claim_name for files in plan.files), plan.local.claim_name])
    return [(f"claim-{index}", claim) for index, claim in enumerate(claims)]
