"""On which node and as which user a pod must run, given the claims that the pod needs. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quotenode_backup.cluster.objects import Claim, Mounter
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.placement import Placement

IMAGE_USER = 10001
"""The user ID of the image, for a pod that has no files to read."""


@dataclass(frozen=True, slots=True)
class Misplaced:
    """The pod can't be placed. `may_pass`: it could be once a claim or pod exists that may be just being created."""

    reason: Reason
    message: str
    may_pass: bool


@dataclass(frozen=True, slots=True)
class Needs:
    """What a pod is to have mounted."""

    files: tuple[str, ...]
    """Names of the claims that hold the application's files, in the order of the spec."""
    storage: str
    """Name of the claim that holds the bundles."""
    user: int | None
    """The user that can read the files; None: the user of the pods that mount them."""

    @property
    def claims(self) -> set[str]:
        return {*self.files, self.storage}


def place(
    needs: Needs, claims: Mapping[str, Claim | None], mounters: Mapping[str, Sequence[Mounter]]
) -> Placement | Misplaced:
    """`claims`: each claim that is needed, None where it does not exist. `mounters`: the pods that mount each claim."""
    user = _user(needs, claims, mounters)
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
    is_shared = bool(mounters[needs.storage])
    if not nodes:
        return Placement(user=user, node=None, leaves_modes=is_shared)
    return Placement(user=user, node=nodes.pop(), tolerations=_tolerations(bound), leaves_modes=is_shared)


def beside(user: int, claim: Claim, mounters: Sequence[Mounter]) -> Placement:
    """For a pod that mounts only this claim: the node that mounts the claim already, unless several nodes can."""
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
                f"Claim {name} is ReadWriteOncePod and pod {mounters[name][0].pod} mounts it, so no other pod can"
                " mount it: use ReadWriteOnce",
                may_pass=False,
            )
    return None


def _apart(bound: Mapping[str, Mounter]) -> Misplaced:
    places = ", ".join(f"{name} on {mounter.node} (pod {mounter.pod})" for name, mounter in sorted(bound.items()))
    return Misplaced(
        Reason.CLAIMS_APART,
        f"The claims are mounted on different nodes, and one pod can't mount them all: {places}."
        " Move the pods to one node, or use volumes that several nodes can mount",
        may_pass=False,
    )


def _user(
    needs: Needs, claims: Mapping[str, Claim | None], mounters: Mapping[str, Sequence[Mounter]]
) -> int | Misplaced:
    if needs.user is not None:
        return needs.user
    if not needs.files:
        return IMAGE_USER
    for name in needs.files:
        if claims[name] is None:
            return _absent(name)
        mounting = mounters[name]
        if mounting:
            return next((mounter.user for mounter in mounting if mounter.user), None) or _unknown_user(mounting[0])
    names = ", ".join(sorted(set(needs.files)))
    return Misplaced(
        Reason.RUN_AS_USER_NEEDED,
        f"No running pod mounts {names}, so it is unknown which user can read the files:"
        " set spec.pod.runAsUser to the application's user ID",
        may_pass=True,
    )


def _absent(claim: str) -> Misplaced:
    return Misplaced(
        Reason.CLAIM_MISSING,
        f"PersistentVolumeClaim {claim} does not exist in this namespace: create it or correct spec.files",
        may_pass=True,
    )


def _unknown_user(mounter: Mounter) -> Misplaced:
    found = "runs as root" if mounter.user == 0 else "does not say which user it runs as"
    return Misplaced(
        Reason.RUN_AS_USER_NEEDED,
        f"Pod {mounter.pod}, which mounts the files, {found}, and the operator's Jobs never run as root:"
        " set spec.pod.runAsUser to the ID of a user that can read the files",
        may_pass=mounter.user is None,
    )
