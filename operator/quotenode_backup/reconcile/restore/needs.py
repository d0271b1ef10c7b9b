"""Which claims the pods of a restore mount, and where such a pod can run at the moment."""

from collections.abc import Collection

from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Claim, Mounter
from quotenode_backup.cluster.restore_objects import RestoreRun
from quotenode_backup.manifests.placement import Placement
from quotenode_backup.manifests.restore_jobs import EXPIRE, LOAD, VERIFY
from quotenode_backup.reconcile.jobs.placement import IMAGE_USER, Misplaced, Needs, place
from quotenode_backup.reconcile.restore.source import Resolved

_READS_BUNDLE = (VERIFY, LOAD, EXPIRE)
_READS_SERVER = (VERIFY, LOAD)


async def placement_of(cluster: Cluster, run: RestoreRun, found: Resolved, step: str) -> Placement | Misplaced:
    claims = _claims_of(found, step)
    if not claims:
        return beside_no_claim(run)
    files = tuple(one.claim_name for one in found.files)
    needs = Needs(files, claims[0], _user_of(run))
    known: dict[str, Claim | None] = {name: await cluster.pods.read_claim(run.namespace, name) for name in claims}
    mounters = await cluster.pods.mounters_of(run.namespace, set(claims))
    return place(needs, known, mounters)


def beside_no_claim(run: RestoreRun) -> Placement:
    """For a pod that mounts nothing."""
    return Placement(user=_user_of(run) or IMAGE_USER, node=None)


def _claims_of(found: Resolved, step: str) -> list[str]:
    """The claim of the bundle first, if it is needed."""
    bundle = [found.source.claim_name] if step in _READS_BUNDLE and found.source.claim_name else []
    server = [found.database.claim_name] if step in _READS_SERVER and found.database.claim_name else []
    files = [one.claim_name for one in found.files]
    return list(dict.fromkeys([*bundle, *files, *server]))


def _user_of(run: RestoreRun) -> int | None:
    """Once the application is stopped, only what was recorded tells who can write the files. None: its pods tell."""
    chosen, stopped = run.spec.pod.run_as_user, run.status.stopped
    if chosen is not None:
        return chosen
    if stopped:
        return stopped.user_id
    return next((one.user_id for one in run.status.attempts if one.user_id is not None), None)


async def users_of_files(
    cluster: Cluster, run: RestoreRun, found: Resolved, known: Collection[str] = ()
) -> tuple[str, ...]:
    """Pods of others that mount a claim whose files are to be replaced, as parts of sentences. `known`: pods that do not count."""
    claims = {one.claim_name for one in found.files}
    if not claims:
        return ()
    mounters: dict[str, list[Mounter]] = await cluster.pods.mounters_of(run.namespace, claims)
    return tuple(
        f"Pod {one.pod} has claim {claim} mounted"
        for claim in sorted(mounters)
        for one in mounters[claim]
        if one.pod not in known
    )
