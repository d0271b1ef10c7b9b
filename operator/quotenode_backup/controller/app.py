"""The operator as a process: check, connect, then watch, resync and reconcile until something ends it.

Crash-only: whatever ends unexpectedly, but for a pass over one object, ends the process, and the kubelet starts it anew. Nothing is kept in
memory that matters.
"""

import asyncio
import contextlib
import logging
from dataclasses import replace

from kubernetes.aio.client import Configuration

from quotenode_backup import logs
from quotenode_backup.cluster.admission import AdmissionPolicy
from quotenode_backup.cluster.connection import Connection, configuration
from quotenode_backup.cluster.crash_point import CrashPoint
from quotenode_backup.cluster.errors import ApiError, Conflict
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.startup import NotReady, let_go, require_resource, served, until_granted
from quotenode_backup.contract.plans import InitiatedBy
from quotenode_backup.controller.health import Health, Metrics, beat, until_in_effect, watch_policy
from quotenode_backup.controller.http import serve
from quotenode_backup.controller.queue import Key, KeyQueue
from quotenode_backup.controller.resync import Resync
from quotenode_backup.controller.settings import Settings, SettingsInvalid, settings
from quotenode_backup.controller.watch import watch
from quotenode_backup.reconcile.dispatch import Reconciler
from quotenode_backup.reconcile.reporting.status_writer import Pass
from quotenode_backup.reconcile.target.lock import Room

logger = logging.getLogger(__name__)

WORKERS = 16
FAULT = "fault"
"""Of a pass that met one of ours. An alert counts them, so there is a count from the start."""


def main() -> int:
    """Exit code 0 after SIGTERM, 1 when the cluster or the settings do not allow a start, else an exception."""
    try:
        chosen = settings()
    except SettingsInvalid as exc:
        logging.basicConfig()
        logger.error("%s", exc)
        return 1
    logs.configure(chosen.log_format, chosen.log_level)
    try:
        asyncio.run(_operate(chosen))
    except (NotReady, ApiError) as exc:
        logger.error("Ended: %s", exc)
        return 1
    return 0


async def _operate(chosen: Settings) -> None:
    config = await configuration()
    connection = Connection(config, CrashPoint(chosen.crash_at))
    try:
        await require_resource(connection)
        await let_go(connection, chosen.namespaces)
        usable = tuple(name for name in await served(connection, chosen.scopes) if name)
        logger.info("Watching %s as %s", ", ".join(usable) or "all namespaces", chosen.identity)
        left_out = tuple(name for name in chosen.namespaces if name not in usable)
        await _run(replace(chosen, namespaces=usable), left_out, connection, config)
    finally:
        await connection.close()


async def _run(chosen: Settings, left_out: tuple[str, ...], connection: Connection, config: Configuration) -> None:
    """Until something ends, which nothing should but a SIGTERM. `left_out`: what is to be served and can't be yet."""
    queue, metrics, health = KeyQueue(), Metrics(chosen.operator), Health(chosen.resync_seconds)
    metrics.observe(queue, health)
    metrics.tell_served(chosen.namespaces, left_out)
    metrics.passes.labels(FAULT)
    cluster = Cluster(connection)
    room = Room(chosen.max_concurrent_runs, chosen.scopes)
    policy = AdmissionPolicy(connection, chosen.admission_policy)
    reconciler = Reconciler(cluster, chosen.runner, chosen.identity, None, room, metrics.schedules, policy)
    server = serve(chosen.http_port, health, metrics)
    await until_in_effect(policy)
    helpers = [
        asyncio.create_task(beat(health, metrics)),
        asyncio.create_task(Resync(cluster, chosen.scopes, queue, health, metrics.applications).go_on()),
        *([asyncio.create_task(watch_policy(policy, metrics, chosen.resync_seconds))] if policy.name else []),
        *([asyncio.create_task(until_granted(connection, left_out, chosen.resync_seconds))] if left_out else []),
        *(asyncio.create_task(_work(queue, reconciler, metrics)) for _ in range(WORKERS)),
    ]
    watching = asyncio.create_task(watch(config, chosen, queue))
    try:
        done, _ = await asyncio.wait([watching, *helpers], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _stopped([watching, *helpers])
        server.shutdown()


async def _stopped(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _work(queue: KeyQueue, reconciler: Reconciler, metrics: Metrics) -> None:
    while True:
        key = await queue.get()
        result = await _attempt(key, reconciler, metrics)
        if result is None:
            queue.failed(key)
            continue
        _count(result, metrics)
        if result.again is not None:
            queue.add_after(key, result.again.total_seconds())
        queue.done(key)


async def _attempt(key: Key, reconciler: Reconciler, metrics: Metrics) -> Pass | None:
    """One pass; None when it has to be made again: what it saw was old, the API server said no, or it met a fault of ours."""
    where = {"namespace": key.namespace, "backup": key.name}
    try:
        result = await reconciler.reconcile(key.namespace, key.name)
    except Conflict:
        metrics.passes.labels("conflict").inc()
        return None
    except ApiError as exc:
        metrics.passes.labels("error").inc()
        logger.warning("%s/%s: %s", key.namespace, key.name, exc, extra=where)
        return None
    except Exception:  # one object must not be able to end the backups of all others, whatever is written in it
        metrics.passes.labels(FAULT).inc()
        logger.exception("%s/%s: a fault of ours, please report it", key.namespace, key.name, extra=where)
        return None
    metrics.passes.labels("ok").inc()
    if result.finished:
        status = result.finished
        logger.info("%s/%s: %s, %s", key.namespace, key.name, status.phase, status.message, extra=where)
    return result


def _count(result: Pass, metrics: Metrics) -> None:
    if result.finished:
        metrics.runs.labels(result.finished.phase, result.finished.initiated_by or InitiatedBy.ADMIN).inc()
