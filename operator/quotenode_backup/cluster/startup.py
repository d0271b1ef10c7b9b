"""Checks before the first watch: an operator that can't see its resource, or may not act, must end with a sentence and not wait."""

from collections.abc import Iterable

from quotenode_backup.api import API_VERSION, GROUP, VERSION
from quotenode_backup.api.backup import PLURAL
from quotenode_backup.cluster.connection import Connection
from quotenode_backup.cluster.errors import NotFound
from quotenode_backup.cluster.gateway import NEEDED


class NotReady(Exception):
    """The cluster is not prepared for this operator. The message says what is missing and how to get it."""


async def require_resource(connection: Connection) -> None:
    """The CRD is installed, in the version that this operator reads, with its status."""
    try:
        served = await connection.read(f"/apis/{GROUP}/{VERSION}")
    except NotFound:
        raise NotReady(
            f"the API server does not know {API_VERSION}: install the CRDs (crds.install=true in the chart)"
        ) from None
    names = {resource["name"] for resource in served["resources"]}
    missing = {PLURAL, f"{PLURAL}/status"} - names
    if missing:
        raise NotReady(f"the CRD in this cluster has no {', '.join(sorted(missing))}: install this release's CRDs")


async def require_rights(connection: Connection, namespaces: Iterable[str | None]) -> None:
    """Each verb that the code uses is granted in each watched namespace (None: in all of them)."""
    missing = [
        f"{verb} {resource}{f'.{group}' if group else ''} in {namespace or 'all namespaces'}"
        for namespace in namespaces
        for (group, resource), verbs in NEEDED.items()
        for verb in sorted(verbs)
        if not await _is_allowed(connection, namespace, group, resource, verb)
    ]
    if missing:
        raise NotReady(f"the operator's ServiceAccount may not: {'; '.join(missing)}. Its Role is part of the chart")


async def _is_allowed(connection: Connection, namespace: str | None, group: str, resource: str, verb: str) -> bool:
    plural, _, subresource = resource.partition("/")
    asked = {"group": group, "resource": plural, "subresource": subresource, "verb": verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked | ({"namespace": namespace} if namespace else {})},
    }
    answer = await connection.ask("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return bool(answer["status"].get("allowed"))
