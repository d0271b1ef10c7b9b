"""kopf as transport: watch events in, keys out. Handlers only add keys and can't fail; the resync finds lost events."""

import random
from collections.abc import Iterator
from typing import Any

import kopf

from quotenode_backup.api import GROUP, VERSION, backup, restore
from quotenode_backup.cluster import backup_parsing, restore_parsing
from quotenode_backup.cluster.connection import Configuration, watching_session
from quotenode_backup.controller.queue import KeyQueue
from quotenode_backup.controller.settings import Settings
from quotenode_backup.domain.owner import Key
from quotenode_backup.manifests import labels

OUTAGE_SECONDS = 600.0
"""How long the API server may be unreachable before the process ends and the kubelet restarts it."""
STREAMS_PER_NAMESPACE = 4


class Backoffs:
    """The pauses between tries of a request, with jitter so that operators don't retry in step. Can be iterated again."""

    def __iter__(self) -> Iterator[float]:
        total, step = 0.0, 0.5
        while total < OUTAGE_SECONDS:
            pause = random.uniform(step / 2, step)
            total += pause
            step = min(step * 2, 30.0)
            yield pause


async def watch(config: Configuration, settings: Settings, queue: KeyQueue) -> None:
    """Run until SIGTERM, or until a stream fails for good."""
    await kopf.operator(
        registry=_registry(config, settings, queue),
        settings=_settings(),
        standalone=True,
        # Without an identity kopf looks up the name of the user, and ours has none. The type of it is not exported.
        identity=settings.identity,  # type: ignore[arg-type]
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
    )


def _registry(config: Configuration, settings: Settings, queue: KeyQueue) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        streams = STREAMS_PER_NAMESPACE * max(1, len(settings.namespaces))
        session = watching_session(config, connections=2 * streams + 16)
        return kopf.AiohttpSession(server=config.host, aiohttp_session=session)

    @kopf.on.event(GROUP, VERSION, backup.PLURAL, registry=registry)
    async def backup_changed(namespace: str | None, name: str | None, body: kopf.Body, type: str, **_: Any) -> None:  # noqa: A002 # kopf's word
        if namespace and name and (type == "DELETED" or not backup_parsing.is_settled(dict(body))):
            queue.add(Key(backup.KIND, namespace, name))
        schedule = body.metadata.labels.get(labels.SCHEDULE)
        if namespace and schedule and type:  # there is no type while listing, and the list contains the schedule itself
            queue.add(Key(backup.KIND, namespace, schedule))

    @kopf.on.event(GROUP, VERSION, restore.PLURAL, registry=registry)
    async def restore_changed(namespace: str | None, name: str | None, body: kopf.Body, type: str, **_: Any) -> None:  # noqa: A002 # kopf's word
        if namespace and name and (type == "DELETED" or not restore_parsing.is_settled(dict(body))):
            queue.add(Key(restore.KIND, namespace, name))

    @kopf.on.event("batch", "v1", "jobs", registry=registry)
    @kopf.on.event("", "v1", "pods", registry=registry)
    async def child_changed(namespace: str | None, meta: kopf.Meta, **_: Any) -> None:
        name = meta.labels.get(labels.RUN_NAME)
        if namespace and name:
            queue.add(Key(meta.labels.get(labels.KIND, backup.KIND), namespace, name))

    return registry


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.watching.inactivity_timeout = 70  # a bookmark comes every 60 s
    settings.watching.reconnect_backoff = 1.0
    settings.watching.chunk_size = 500
    settings.watching.label_selectors["batch", "v1", "jobs"] = labels.OURS
    settings.watching.label_selectors["", "v1", "pods"] = labels.OURS
    settings.networking.connect_timeout = 5
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = Backoffs()
    settings.networking.trust_env = False
    settings.queueing.worker_limit = None  # our handlers only add to a queue
    # An idle worker keeps its object in memory, and after a start there would be one for each object.
    settings.queueing.idle_timeout = 0.1
    settings.queueing.exit_timeout = 0.5
    settings.process.ultimate_exiting_timeout = 45
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # scanning needs permissions on CRDs and namespaces
    settings.persistence.finalizer = f"{GROUP}/never-used"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP, v1=False)
    return settings
