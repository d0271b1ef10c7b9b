"""The operator's process: connect, check, then watch, resync and reconcile until something ends it.

The design is crash-only: whatever ends unexpectedly, except for a pass over one object, ends the process, and the
kubelet restarts it. Nothing that matters is kept only in memory.
"""

import asyncio
import contextlib
import logging
from dataclasses import replace

from quotenode_backup import logs
from quotenode_backup.api import backup, restore
from quotenode_backup.api.restore_status import RestoreStatus
from quotenode_backup.api.run_status import RunStatus
from quotenode_backup.cluster.admission import AdmissionPolicy
from quotenode_backup.cluster.connection import Configuration, Connection, configuration
from quotenode_backup.cluster.crash_point import CrashPoint
from quotenode_backup.cluster.errors import ApiError, Conflict
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.startup import NotReady, release_finalizers, require_resource, served, until_granted
from quotenode_backup.contract.plans import InitiatedBy
from quotenode_backup.controller.health import Health, beat, observe, until_in_effect, watch_policy
from quotenode_backup.controller.http import serve
from quotenode_backup.controller.metrics import Metrics
from quotenode_backup.controller.queue import KeyQueue
from quotenode_backup.controller.resync import Resync
from quotenode_backup.controller.settings import Settings, SettingsInvalid, settings
from quotenode_backup.controller.watch import watch
from quotenode_backup.domain.owner import Key
from quotenode_backup.reconcile.dispatch import Dispatcher
from quotenode_backup.reconcile.jobs.context import Context
from quotenode_backup.reconcile.reporting.requeue import PassResult
from quotenode_backup.reconcile.target.capacity import ConcurrencyLimit

logger = logging.getLogger(__name__)

WORKERS = 16
FAULT = "fault"
"""The result of a pass that met an unexpected error. Its counter has an alert, so it exists from the start."""


def main() -> int:
    """Exit code 0 after SIGTERM, 1 if cluster or settings do not allow a start. Anything else raises."""
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
        await release_finalizers(connection, chosen.namespaces)
        usable = tuple(name for name in await served(connection, chosen.scopes) if name)
        logger.info("Watching %s as %s", ", ".join(usable) or "all namespaces", chosen.identity)
        left_out = tuple(name for name in chosen.namespaces if name not in usable)
        await _run(replace(chosen, namespaces=usable), left_out, connection, config)
    finally:
        await connection.close()


async def _run(chosen: Settings, left_out: tuple[str, ...], connection: Connection, config: Configuration) -> None:
    """Run until any of the tasks ends, which should happen only after SIGTERM.

    `left_out`: namespaces that are to be watched but can't be served yet.
    """
    queue, metrics, health = KeyQueue(), Metrics(chosen.operator), Health(chosen.resync_seconds)
    observe(metrics, queue, health)
    metrics.set_served(chosen.namespaces, left_out)
    metrics.passes.labels(FAULT)
    cluster = Cluster(connection)
    context = Context.of(cluster, chosen.runner, chosen.identity)
    limit = ConcurrencyLimit(chosen.max_concurrent_runs, chosen.scopes)
    policies = {
        backup.KIND: AdmissionPolicy(connection, chosen.admission_policy),
        restore.KIND: AdmissionPolicy(connection, chosen.restore_admission_policy),
    }
    dispatcher = Dispatcher(context, limit, metrics.schedules, policies)
    server = serve(chosen.http_port, health, metrics)
    for policy in policies.values():
        await until_in_effect(policy)
    helpers = [
        asyncio.create_task(beat(health, metrics)),
        asyncio.create_task(Resync(cluster, chosen.scopes, queue, health, metrics.applications).go_on()),
        *(
            asyncio.create_task(watch_policy(policy, metrics, chosen.resync_seconds))
            for policy in policies.values()
            if policy.name
        ),
        *([asyncio.create_task(until_granted(connection, left_out, chosen.resync_seconds))] if left_out else []),
        *(asyncio.create_task(_work(queue, dispatcher, metrics)) for _ in range(WORKERS)),
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


async def _work(queue: KeyQueue, dispatcher: Dispatcher, metrics: Metrics) -> None:
    while True:
        key = await queue.get()
        result = await _attempt(key, dispatcher, metrics)
        if result is None:
            queue.failed(key)
            continue
        _count(result, metrics)
        if result.requeue_after is not None:
            queue.add_after(key, result.requeue_after.total_seconds(), is_patient=result.waits)
        queue.done(key)


async def _attempt(key: Key, dispatcher: Dispatcher, metrics: Metrics) -> PassResult | None:
    """One pass. None: it must be repeated, after a conflict, an error of the API server, or an unexpected error."""
    where = {"namespace": key.namespace, "backup": key.name}
    try:
        result = await dispatcher.reconcile(key)
    except Conflict:
        metrics.passes.labels("conflict").inc()
        return None
    except ApiError as exc:
        metrics.passes.labels("error").inc()
        logger.warning("%s/%s: %s", key.namespace, key.name, exc, extra=where)
        return None
    except Exception:  # whatever one object contains, it must not stop the backups of all others
        metrics.passes.labels(FAULT).inc()
        logger.exception("%s/%s: an unexpected error, please report it", key.namespace, key.name, extra=where)
        return None
    metrics.passes.labels("ok").inc()
    if result.finished:
        status = result.finished
        logger.info("%s/%s: %s, %s", key.namespace, key.name, status.phase, status.message, extra=where)
    return result


def _count(result: PassResult, metrics: Metrics) -> None:
    match result.finished:
        case RestoreStatus(phase=phase, kind=kind):
            metrics.restores.labels(phase, kind or "").inc()
        case RunStatus(phase=phase, initiated_by=initiated_by):
            metrics.runs.labels(phase, initiated_by or InitiatedBy.ADMIN).inc()
