"""The lock of a database: a Lease that is taken and given back by compare-and-swap.

The Lease never expires: with an expiry, a process that was frozen for a while could go on working without its lock.

What an offline run stopped is written on the Lease, since the run can be deleted in the middle, and in the run's
status, since the Lease can be deleted too. A Lease that records stopped workloads can neither be given back nor be
taken over. Nothing here starts a workload: `wind_down` does.
"""

from datetime import datetime

from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Lease, Run, Stopped
from quotenode_backup.domain.owner import Owner
from quotenode_backup.domain.target import Target
from quotenode_backup.manifests.lease import LockState
from quotenode_backup.manifests.lease import lease as lease_manifest


class StillStopped(Exception):
    """The Lease records workloads that have not been started again."""


async def read(cluster: Cluster, target: Target) -> Lease | None:
    return await cluster.leases.read(target.namespace, target.lease_name)


async def of_run(cluster: Cluster, run: Run) -> Lease | None:
    """The Lease of the run's database; if the spec can't be read, as after a downgrade, the Lease that the run holds."""
    if run.target:
        return await read(cluster, run.target)
    async for found in cluster.leases.each(run.namespace):
        if found.is_held_by(run.owner):
            return found
    return None


async def other_stopper(cluster: Cluster, owner: Owner) -> Lease | None:
    """The Lease of another resource that has an application in this namespace stopped; None when there is none."""
    async for found in cluster.leases.each(owner.namespace):
        if found.stopped and found.holder and not found.is_held_by(owner):
            return found
    return None


async def take(
    cluster: Cluster, owner: Owner, target: Target, found: Lease | None, stopped: Stopped | None, now: datetime
) -> None:
    """Raises AlreadyExists or Conflict when somebody else has taken the lock first.

    `found`: the Lease as it was read. `stopped`: what the owner has stopped, if it had the lock before and its Lease
    was lost.
    """
    if found is None:
        state = _state(None, owner, str(target), stopped)
        await cluster.leases.create(lease_manifest(target.namespace, target.lease_name, state, now))
        return
    _require_started(found)
    await _replace(cluster, found, owner, stopped, now)


async def remember_stopped(cluster: Cluster, found: Lease, stopped: Stopped, now: datetime) -> None:
    """Record what is about to be stopped. What is recorded already stays."""
    if found.stopped is None:
        await _replace(cluster, found, found.holder, stopped, now)


async def forget_stopped(cluster: Cluster, found: Lease, now: datetime) -> Lease:
    """Remove the record from the Lease, as everything in it has been started again. Returns the new Lease."""
    return await _replace(cluster, found, found.holder, None, now)


async def give_back(cluster: Cluster, found: Lease, now: datetime) -> None:
    _require_started(found)
    await _replace(cluster, found, None, None, now)


def _require_started(found: Lease) -> None:
    if found.stopped:
        raise StillStopped(f"Lease {found.name} records workloads that are still to be started again")


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
