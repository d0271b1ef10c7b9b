"""Requests about pods and the claims that they mount. A verb that is new here must be added to `permissions`."""

from quotenode_backup.cluster import paths
from quotenode_backup.cluster.connection import Api, each_item
from quotenode_backup.cluster.custom_resources import NAME
from quotenode_backup.cluster.errors import NotFound
from quotenode_backup.cluster.objects import Claim, Mounter, Pod
from quotenode_backup.cluster.parsing import claim_of, mounter_of, pod_of
from quotenode_backup.domain.owner import Owner
from quotenode_backup.manifests import labels


class Pods:
    def __init__(self, connection: Api) -> None:
        self._api = connection

    async def of(self, owner: Owner, step: str) -> list[Pod]:
        query = {"labelSelector": labels.of_owner(owner.uid, step)}
        return [pod_of(item) async for item in each_item(self._api, paths.core(owner.namespace, "pods"), query)]

    async def mounters_of(self, namespace: str, claims: set[str]) -> dict[str, list[Mounter]]:
        """The live pods that mount each of the claims, without the operator's own."""
        found: dict[str, list[Mounter]] = {claim: [] for claim in claims}
        query = {"labelSelector": f"{labels.MANAGED_BY}!={labels.MANAGER}"}
        async for item in each_item(self._api, paths.core(namespace, "pods"), query):
            for claim in claims:
                mounter = mounter_of(item, claim)
                if mounter:
                    found[claim].append(mounter)
        return found

    async def read_claim(self, namespace: str, name: str) -> Claim | None:
        """None when the claim does not exist, or when the name is invalid: it may come from an annotation."""
        if not NAME.fullmatch(name):
            return None
        try:
            return claim_of(await self._api.read(paths.core(namespace, "persistentvolumeclaims", name)))
        except NotFound:
            return None
