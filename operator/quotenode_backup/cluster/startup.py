"""Checks before the first watch: without its CRD or its permissions the operator ends with a sentence."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from quotenode_backup.api import API_VERSION, GROUP, VERSION
from quotenode_backup.api.backup import PLURAL
from quotenode_backup.api.restore import PLURAL as RESTORES
from quotenode_backup.cluster.connection import Api, ReviewApi
from quotenode_backup.cluster.errors import ApiError, NotFound
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.permissions import NEEDED

logger = logging.getLogger(__name__)


class NotReady(Exception):
    """The cluster is not prepared for this operator. The message says what is missing and how to install it."""


async def require_resource(connection: Api) -> None:
    """Raises NotReady unless the CRDs are installed in the version that this operator reads, with their statuses."""
    try:
        served = await connection.read(f"/apis/{GROUP}/{VERSION}")
    except NotFound:
        raise NotReady(
            f"the API server does not know {API_VERSION}: install the CRDs (crds.install=true in the chart)"
        ) from None
    names = {resource["name"] for resource in served["resources"]}
    needed = {f"{plural}{subresource}" for plural in (PLURAL, RESTORES) for subresource in ("", "/status")}
    if missing := needed - names:
        raise NotReady(f"this cluster has no {', '.join(sorted(missing))}: install this release's CRDs")


async def served(connection: ReviewApi, namespaces: Sequence[str | None]) -> list[str | None]:
    """The namespaces in which the operator has all its permissions (None: all at once). Raises NotReady if there is
    none.

    The others are logged and left out: whoever administers one namespace must not be able to stop the backups of the
    rest.
    """
    lacks = {namespace: await missing_permissions(connection, namespace) for namespace in namespaces}
    usable = [namespace for namespace, verbs in lacks.items() if not verbs]
    lacking = "; ".join(verb for verbs in lacks.values() for verb in verbs)
    sentence = f"the operator's ServiceAccount may not: {lacking}. Its Role is part of the chart"
    if not usable:
        raise NotReady(sentence)
    if lacking:
        logger.error("Not served, %s", sentence)
    return usable


async def missing_permissions(connection: ReviewApi, namespace: str | None) -> list[str]:
    return [
        f"{verb} {resource}{f'.{group}' if group else ''} in {namespace or 'all namespaces'}"
        for (group, resource), verbs in NEEDED.items()
        for verb in sorted(verbs)
        if not await _is_allowed(connection, namespace, group, resource, verb)
    ]


async def release_finalizers(connection: Api, namespaces: Sequence[str]) -> None:
    """Take our finalizers off in those of the namespaces that are terminating, so that their deletion does not hang."""
    cluster = Cluster(connection)
    for namespace in namespaces:
        with suppress(ApiError):
            if await cluster.is_terminating(namespace):
                await cluster.backups.release_finalizers(namespace)
                await cluster.restores.release_finalizers(namespace)


async def until_granted(connection: ReviewApi, namespaces: Sequence[str], pause_seconds: float) -> None:
    """Return once one of these namespaces can be served. The operator then ends, and is started again with it."""
    while True:
        await asyncio.sleep(pause_seconds)
        await release_finalizers(connection, namespaces)
        for namespace in namespaces:
            with suppress(ApiError):
                if not await missing_permissions(connection, namespace):
                    logger.info("Namespace %s can be served now: starting anew", namespace)
                    return


async def _is_allowed(connection: ReviewApi, namespace: str | None, group: str, resource: str, verb: str) -> bool:
    plural, _, subresource = resource.partition("/")
    asked = {"group": group, "resource": plural, "subresource": subresource, "verb": verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked | ({"namespace": namespace} if namespace else {})},
    }
    answer = await connection.ask("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return bool(answer["status"].get("allowed"))
