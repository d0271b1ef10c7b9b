"""Which claims the pods of a backup mount, and where a pod that mounts them can run at the moment."""

from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Backup, BackupRun, Claim, Stopped
from quotenode_backup.manifests.placement import Placement
from quotenode_backup.reconcile.jobs.placement import IMAGE_USER, Misplaced, Needs, beside, place


def needs_of(run: BackupRun, stopped: Stopped | None) -> Needs:
    """`stopped` has the user that the application's pods showed before they were stopped."""
    user = run.spec.pod.run_as_user
    if user is None and stopped:
        user = stopped.user
    files = tuple(files.claim_name for files in run.spec.files)
    return Needs(files, run.spec.storage.local.claim_name, user)


async def placement_of(cluster: Cluster, run: BackupRun, stopped: Stopped | None = None) -> Placement | Misplaced:
    needs = needs_of(run, stopped)
    claims: dict[str, Claim | None] = {
        name: await cluster.pods.read_claim(run.namespace, name) for name in sorted(needs.claims)
    }
    return place(needs, claims, await cluster.pods.mounters_of(run.namespace, needs.claims))


async def placement_beside(cluster: Cluster, run: Backup, claim: Claim, writer: int | None) -> Placement:
    """For a pod that mounts only the claim with the run's bundle. `writer`: the user who wrote the bundle, if known."""
    user = writer or (run.spec.pod.run_as_user if isinstance(run, BackupRun) else None) or IMAGE_USER
    return beside(user, claim, (await cluster.pods.mounters_of(run.namespace, {claim.name}))[claim.name])
