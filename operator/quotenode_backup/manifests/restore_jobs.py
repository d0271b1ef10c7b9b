"""The Jobs of a restore.

No pod that mounts an application's claim writable has an `fsGroup`, which would rewrite groups and modes of live files: it gets `supplementalGroups` in
its place. A claim that is only read is mounted read-only as a whole volume, so that the kubelet leaves it alone.
"""

from quotenode_backup.api import API_VERSION
from quotenode_backup.api.database import CredentialsSecretRef
from quotenode_backup.api.pod import Pod
from quotenode_backup.api.restore import KIND, RestoreDatabase
from quotenode_backup.contract import paths
from quotenode_backup.contract.plans import Plan
from quotenode_backup.contract.restore_plans import (
    ExpiryPlan,
    HealthPlan,
    LoadPlan,
    ReadingPlan,
    RestorePlan,
    RestoreSwapPlan,
    VerifyPlan,
)
from quotenode_backup.manifests.placement import Placement
from quotenode_backup.manifests.pod import (
    Manifest,
    RunnerSettings,
    Work,
    claim_volume,
    credentials_volume,
    database_mounts,
    database_volumes,
    mount,
    runner_job,
)

VERIFY, LOAD, SWAP, HEALTH, EXPIRE = "verify", "load", "swap", "health", "expire"
"""The step labels of the Jobs, and the runner's commands."""
AT_WORK = (VERIFY, LOAD, SWAP, HEALTH, EXPIRE)
"""The steps whose pods may touch the database, the files or the bundle."""
KEPT_SECONDS = 86400


def verify_job(
    plan: VerifyPlan, database: RestoreDatabase, pod: Pod, placement: Placement, settings: RunnerSettings
) -> Manifest:
    """Nothing but a pin is written, and only the claim of the bundle may be writable for it."""
    writable = {plan.bundle.claim.claim_name} if plan.pin_until else set()
    return _owned(_job(plan, VERIFY, database, pod, placement, settings, writable), plan)


def load_job(
    plan: LoadPlan, database: RestoreDatabase, pod: Pod, placement: Placement, settings: RunnerSettings
) -> Manifest:
    writable = {files.claim_name for files in plan.files}
    return _owned(_job(plan, LOAD, database, pod, placement, settings, writable), plan)


def swap_job(
    plan: RestoreSwapPlan, database: RestoreDatabase, pod: Pod, placement: Placement, settings: RunnerSettings
) -> Manifest:
    """Without an owner reference: whatever becomes of the resource, a swap that was begun is finished or taken back. It has no deadline either.

    Should its result be gone before the operator has seen it, the next attempt looks which data is live.
    """
    return _lasting(_job(plan, SWAP, database, pod, placement, settings, {files.claim_name for files in plan.files}))


def expire_job(
    plan: ExpiryPlan, database: RestoreDatabase, pod: Pod, placement: Placement, settings: RunnerSettings
) -> Manifest:
    bundle = {plan.bundle.claim.claim_name} if plan.bundle else set()
    writable = bundle | {files.claim_name for files in plan.files}
    return _lasting(_job(plan, EXPIRE, database, pod, placement, settings, writable))


def health_job(plan: HealthPlan, pod: Pod, placement: Placement, settings: RunnerSettings) -> Manifest:
    return _owned(runner_job(plan, KIND, Work(HEALTH, (), ()), pod, placement, settings), plan)


def _job(
    plan: RestorePlan,
    step: str,
    database: RestoreDatabase,
    pod: Pod,
    placement: Placement,
    settings: RunnerSettings,
    writable: set[str],
) -> Manifest:
    claims = _claims(plan)
    volume = {claim: f"claim-{index}" for index, claim in enumerate(claims)}
    volumes = [claim_volume(volume[claim], claim, read_only=claim not in writable) for claim in claims]
    sources = [
        mount(volume[files.claim_name], f"{paths.SOURCES}/{index}", read_only=files.claim_name not in writable)
        for index, files in enumerate(plan.files)
    ]
    work = Work(
        step=step,
        volumes=(*database_volumes(database), *_admin_volume(database.admin_credentials_secret_ref), *volumes),
        mounts=(*database_mounts(database), *_admin_mount(plan), *sources, *_other_mounts(plan, volume, writable)),
        leaves_modes=True,
    )
    return runner_job(plan, KIND, work, pod, placement, settings)


def _claims(plan: RestorePlan) -> list[str]:
    """Each claim once: of two volumes with the same claim, the kubelet mounts only one."""
    files = [files.claim_name for files in plan.files]
    bundle = plan.bundle if isinstance(plan, ReadingPlan | ExpiryPlan) else None
    server = plan.room.claim_name if isinstance(plan, ReadingPlan) else None
    return list(dict.fromkeys([*files, *([bundle.claim.claim_name] if bundle else []), *([server] if server else [])]))


def _other_mounts(plan: RestorePlan, volume: dict[str, str], writable: set[str]) -> list[Manifest]:
    """Where the same claim is mounted writable elsewhere, each mount still says for itself what it may be used for."""
    found = []
    bundle = plan.bundle if isinstance(plan, ReadingPlan | ExpiryPlan) else None
    if bundle:
        claim = bundle.claim.claim_name
        is_written = claim in writable and not isinstance(plan, LoadPlan)
        found.append(mount(volume[claim], paths.DESTINATION, read_only=not is_written))
    if isinstance(plan, ReadingPlan) and plan.room.claim_name:
        found.append(mount(volume[plan.room.claim_name], paths.SERVER_VOLUME))
    return found


def _admin_volume(ref: CredentialsSecretRef | None) -> list[Manifest]:
    return [credentials_volume(ref) | {"name": "admin"}] if ref else []


def _admin_mount(plan: RestorePlan) -> list[Manifest]:
    return [mount("admin", paths.ADMIN_SECRET)] if plan.admin else []


def _owned(job: Manifest, plan: Plan) -> Manifest:
    """The Job goes with the resource."""
    owner = {"apiVersion": API_VERSION, "kind": KIND, "name": plan.name, "uid": plan.run_uid}
    job["metadata"]["ownerReferences"] = [owner | {"controller": True, "blockOwnerDeletion": False}]
    return job


def _lasting(job: Manifest) -> Manifest:
    job["spec"]["ttlSecondsAfterFinished"] = KEPT_SECONDS
    return job
