"""Where a run's pod must be and as whom it must run, from what is true of the claims. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quotenode_backup.api.backup import BackupSpec
from quotenode_backup.cluster.objects import Claim, Mounter
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.pod import Placement

IMAGE_USER = 10001
"""As whom the image runs when there are no files to read."""


@dataclass(frozen=True, slots=True)
class Misplaced:
    """The pod can't be placed. `may_pass`: a claim or pod that is just being made would cure it."""

    reason: Reason
    message: str
    may_pass: bool


def place(
    spec: BackupSpec, claims: Mapping[str, Claim | None], mounters: Mapping[str, Sequence[Mounter]]
) -> Placement | Misplaced:
    """`claims`: those of the spec, None where absent. `mounters`: by claim, the pods that have it mounted."""
    user = _user(spec, claims, mounters)
    if isinstance(user, Misplaced):
        return user
    taken = _taken_by_one_pod(claims, mounters)
    if taken:
        return taken
    bound = {
        name: mounters[name][0] for name, claim in claims.items() if claim and not claim.is_shared and mounters[name]
    }
    nodes = {mounter.node for mounter in bound.values()}
    if len(nodes) > 1:
        return _apart(bound)
    is_shared = bool(mounters[spec.storage.local.claim_name])
    if not nodes:
        return Placement(user=user, node=None, leaves_modes=is_shared)
    return Placement(user=user, node=nodes.pop(), tolerations=_tolerations(bound), leaves_modes=is_shared)


def beside(user: int, claim: Claim, mounters: Sequence[Mounter]) -> Placement:
    """For one claim alone: where a pod has it that no other node can share."""
    if claim.is_shared or not mounters:
        return Placement(user=user, node=None)
    return Placement(user=user, node=mounters[0].node, tolerations=_tolerations({claim.name: mounters[0]}))


def _tolerations(bound: Mapping[str, Mounter]) -> tuple[dict[str, object], ...]:
    unique: list[dict[str, object]] = []
    for mounter in bound.values():
        unique.extend(toleration for toleration in mounter.tolerations if toleration not in unique)
    return tuple(unique)


def _taken_by_one_pod(
    claims: Mapping[str, Claim | None], mounters: Mapping[str, Sequence[Mounter]]
) -> Misplaced | None:
    for name, claim in claims.items():
        if claim and claim.is_single_pod and mounters[name]:
            return Misplaced(
                Reason.CLAIM_IN_USE,
                f"Claim {name} is ReadWriteOncePod and pod {mounters[name][0].pod} has it, so no backup can mount it:"
                " use ReadWriteOnce",
                may_pass=False,
            )
    return None


def _apart(bound: Mapping[str, Mounter]) -> Misplaced:
    places = ", ".join(f"{name} on {mounter.node} (pod {mounter.pod})" for name, mounter in sorted(bound.items()))
    return Misplaced(
        Reason.CLAIMS_APART,
        f"The claims are mounted on different nodes, and one pod can't have them all: {places}."
        " Bring the pods to one node, or use volumes that several nodes can mount",
        may_pass=False,
    )


def _user(
    spec: BackupSpec, claims: Mapping[str, Claim | None], mounters: Mapping[str, Sequence[Mounter]]
) -> int | Misplaced:
    if spec.pod.run_as_user is not None:
        return spec.pod.run_as_user
    if not spec.files:
        return IMAGE_USER
    for files in spec.files:
        if claims[files.claim_name] is None:
            return _absent(files.claim_name)
        mounting = mounters[files.claim_name]
        if mounting:
            return next((mounter.user for mounter in mounting if mounter.user), None) or _unknown_user(mounting[0])
    names = ", ".join(sorted({files.claim_name for files in spec.files}))
    return Misplaced(
        Reason.RUN_AS_USER_NEEDED,
        f"No running pod has {names} mounted, so it is unknown who can read the files:"
        " set spec.pod.runAsUser to the application's user id",
        may_pass=True,
    )


def _absent(claim: str) -> Misplaced:
    return Misplaced(
        Reason.CLAIM_MISSING,
        f"PersistentVolumeClaim {claim} does not exist in this namespace: create it or correct spec.files",
        may_pass=True,
    )


def _unknown_user(mounter: Mounter) -> Misplaced:
    found = "runs as root" if mounter.user == 0 else "does not say as which user it runs"
    return Misplaced(
        Reason.RUN_AS_USER_NEEDED,
        f"Pod {mounter.pod}, which has the files mounted, {found}, and a backup never runs as root:"
        " set spec.pod.runAsUser to a user id that can read the files",
        may_pass=mounter.user is None,
    )
