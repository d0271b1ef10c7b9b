"""The lock of a database: a Lease that is taken and given back by compare-and-swap, and never by the clock: with an expiry a frozen
process could come back and find its lock with another.

What an offline run stopped is written on its Lease, since the run's own resource can be deleted in the middle, and in its status, since the
Lease can be. A Lease that says so can't be given back, nor taken by another: nothing here starts a workload, `wind_down` does.
"""

from datetime import datetime

from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import BackupRun, Lease, Run, Stopped
from quotenode_backup.domain.owner import Owner
from quotenode_backup.domain.target import Target
from quotenode_backup.manifests.lease import LockState
from quotenode_backup.manifests.lease import lease as lease_manifest


class StillStopped(Exception):
    """The lock stands for an application that has not been started again."""


async def read(cluster: Cluster, target: Target) -> Lease | None:
    return await cluster.leases.read(target.namespace, target.lease_name)


async def of_run(cluster: Cluster, run: Run) -> Lease | None:
    """The Lease of the run's database. Of a run whose spec can't be read any more, after a change of release in mid-run: the one it holds."""
    if isinstance(run, BackupRun):
        return await read(cluster, run.target)
    async for found in cluster.leases.each(run.namespace):
        if found.is_held_by(run.owner):
            return found
    return None


async def other_stopper(cluster: Cluster, owner: Owner) -> str:
    """The name of somebody else who has an application of this namespace stopped; empty when there is nobody."""
    async for found in cluster.leases.each(owner.namespace):
        if found.stopped and found.holder and not found.is_held_by(owner):
            return found.holder.name
    return ""


async def take(
    cluster: Cluster, owner: Owner, target: Target, found: Lease | None, stopped: Stopped | None, now: datetime
) -> None:
    """`found`: the Lease as it was read. `stopped`: what the owner has stopped, if it had the lock before and the Lease was lost.

    Raises AlreadyExists or Conflict when another was faster.
    """
    if found is None:
        state = _state(None, owner, str(target), stopped)
        await cluster.leases.create(lease_manifest(target.namespace, target.lease_name, state, now))
        return
    _require_started(found)
    await _replace(cluster, found, owner, stopped, now)


async def remember_stopped(cluster: Cluster, found: Lease, stopped: Stopped, now: datetime) -> None:
    """Write down what is about to be stopped, before it is."""
    if found.stopped is None:
        await _replace(cluster, found, found.holder, stopped, now)


async def forget_stopped(cluster: Cluster, found: Lease, now: datetime) -> Lease:
    """All that the Lease says was stopped has been started again. The Lease as it is then."""
    return await _replace(cluster, found, found.holder, None, now)


async def give_back(cluster: Cluster, found: Lease, now: datetime) -> None:
    _require_started(found)
    await _replace(cluster, found, None, None, now)


def _require_started(found: Lease) -> None:
    if found.stopped:
        raise StillStopped(f"Lease {found.name} says what is still to be started again")


async def _replace(
    cluster: Cluster, found: Lease, holder: Owner | None, stopped: Stopped | None, now: datetime
) -> Lease:
    state = _state(found, holder, found.target, stopped)
    return await cluster.leases.replace(found, lease_manifest(found.namespace, found.name, state, now))


def _state(found: Lease | None, holder: Owner | None, target: str, stopped: Stopped | None) -> LockState:
    is_new = holder is not None and not (found and found.is_held_by(holder))
    break_for = found.break_for if found and holder and found.break_for == holder.uid else ""
    return LockState(
        holder=holder,
        target=target,
        stopped=stopped.model_dump_json() if stopped else "",
        break_for=break_for,
        transitions=(found.transitions if found else 0) + (1 if is_new else 0),
    )
