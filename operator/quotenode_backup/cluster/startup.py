"""Checks before the first watch: an operator that can't see its resource, or may not act, must end with a sentence and not wait."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from quotenode_backup.api import API_VERSION, GROUP, VERSION
from quotenode_backup.api.backup import PLURAL
from quotenode_backup.cluster.connection import Api, ReviewApi
from quotenode_backup.cluster.errors import ApiError, NotFound
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.permissions import NEEDED

logger = logging.getLogger(__name__)


class NotReady(Exception):
    """The cluster is not prepared for this operator. The message says what is missing and how to get it."""


async def require_resource(connection: Api) -> None:
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


async def served(connection: ReviewApi, namespaces: Sequence[str | None]) -> list[str | None]:
    """Those in which each verb that the code uses is granted (None: all at once). Raises NotReady when there is none.

    The others are told and left out: who administers one namespace must not be able to stop the backups of the rest.
    """
    lacks = {namespace: await missing_rights(connection, namespace) for namespace in namespaces}
    usable = [namespace for namespace, verbs in lacks.items() if not verbs]
    lacking = "; ".join(verb for verbs in lacks.values() for verb in verbs)
    sentence = f"the operator's ServiceAccount may not: {lacking}. Its Role is part of the chart"
    if not usable:
        raise NotReady(sentence)
    if lacking:
        logger.error("Not served, %s", sentence)
    return usable


async def missing_rights(connection: ReviewApi, namespace: str | None) -> list[str]:
    return [
        f"{verb} {resource}{f'.{group}' if group else ''} in {namespace or 'all namespaces'}"
        for (group, resource), verbs in NEEDED.items()
        for verb in sorted(verbs)
        if not await _is_allowed(connection, namespace, group, resource, verb)
    ]


async def release_finalizers(connection: Api, namespaces: Sequence[str]) -> None:
    """No resource of ours holds up a namespace that is going away."""
    cluster = Cluster(connection)
    for namespace in namespaces:
        with suppress(ApiError):
            if await cluster.is_terminating(namespace):
                await cluster.backups.release_finalizers(namespace)


async def until_granted(connection: ReviewApi, namespaces: Sequence[str], pause_seconds: float) -> None:
    """Until one of these can be served: then the operator starts anew, with it."""
    while True:
        await asyncio.sleep(pause_seconds)
        await release_finalizers(connection, namespaces)
        for namespace in namespaces:
            with suppress(ApiError):
                if not await missing_rights(connection, namespace):
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
