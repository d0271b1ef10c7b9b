"""What happens beside and after a run, in a cluster in memory: rows, retention, removal of bundles, and capacity."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from quotenode_backup.cluster.errors import Refused
from quotenode_backup.cluster.startup import release_finalizers
from quotenode_backup.domain.owner import Key
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests import labels
from quotenode_backup.reconcile.backup.audit_row import RECORDS_TRIED
from quotenode_backup.reconcile.dispatch import Dispatcher
from quotenode_backup.reconcile.reporting.requeue import NOW, POLL_EXTERNAL
from quotenode_backup.reconcile.target.capacity import ASKED_PER_SECOND, WAITING_AT_MOST, ConcurrencyLimit
from tests.unit.fakes.lives import (
    assert_settled,
    context,
    ends_with,
    event_reasons,
    finished,
    killed_everywhere,
    one_round,
    reconciler,
    rounds,
    rounds_until,
    to_rest,
)
from tests.unit.fakes.world import CLAIMS, JOBS, LEASES, NAMESPACE, PODS, RUNS, Client, World


def audited(*reasons: Reason, **spec: Any) -> World:
    world = World(ends_with(*reasons))
    world.apply("night", auditLog="Enabled", **spec)
    return world


def condition(world: World, name: str, kind: str) -> tuple[str, str]:
    found = next(one for one in world.status(name)["conditions"] if one["type"] == kind)
    return found["status"], found["reason"]


def task_jobs(world: World, task: str) -> list[str]:
    return [path for path in world.created if path.startswith(f"{JOBS}/qnb-{task}-")]


def test_a_run_that_could_write_its_row_needs_no_job_for_it() -> None:
    world = audited(Reason.COMPLETED)
    to_rest(world)
    assert condition(world, "night", "AuditLogged") == ("True", "AuditLogged")
    assert (list(world.rows.values()), task_jobs(world, "record")) == (["COMPLETED"], [])


def test_a_database_that_was_away_gets_the_row_when_it_is_back() -> None:
    world = audited(Reason.COMPLETED)
    world.table = "away"
    client = Client(world)
    rounds(client, 40)
    assert condition(world, "night", "AuditLogged") == ("Unknown", "AuditPending")
    assert world.status("night")["phase"] == "Completed"
    world.table = "fit"
    to_rest(world, client)
    assert condition(world, "night", "AuditLogged") == ("True", "AuditLogged")
    assert list(world.rows.values()) == ["COMPLETED"]
    assert len(task_jobs(world, "record")) > 2


def test_a_database_that_stays_away_is_given_up_after_hours() -> None:
    world = audited(Reason.CREDENTIALS_REFUSED)
    world.table = "away"
    to_rest(world)
    assert condition(world, "night", "AuditLogged") == ("False", "AuditFailed")
    assert len(task_jobs(world, "record")) == 12
    assert event_reasons(world).count("AuditFailed") == 1


def test_the_row_of_a_good_backup_is_never_given_up() -> None:
    """The next backup would take a row without an end for the row of a dead run."""
    world = audited(Reason.COMPLETED)
    world.table = "away"
    client = Client(world)
    for _ in range(200):
        rounds(client, 1)
        world.now += timedelta(minutes=5)
    assert len(task_jobs(world, "record")) > RECORDS_TRIED
    assert condition(world, "night", "AuditLogged") == ("Unknown", "AuditPending")
    world.table = "fit"
    to_rest(world, client)
    assert condition(world, "night", "AuditLogged") == ("True", "AuditLogged")
    assert "AuditFailed" not in event_reasons(world)


def test_a_table_that_does_not_fit_gets_one_event_and_the_backup_is_completed() -> None:
    world = audited(Reason.COMPLETED)
    world.table = "unfit"
    to_rest(world)
    assert condition(world, "night", "AuditLogged") == ("False", "AuditTableUnfit")
    assert world.status("night")["phase"] == "Completed"
    assert (task_jobs(world, "record"), event_reasons(world).count("AuditTableUnfit")) == ([], 1)


def test_a_run_that_never_started_gets_its_row_by_a_job() -> None:
    world = audited(Reason.COMPLETED, files=[{"name": "uploads", "claimName": "missing"}])
    to_rest(world)
    assert world.status("night")["reason"] == "ClaimMissing"
    assert (list(world.rows.values()), len(task_jobs(world, "record"))) == (["FAILED"], 1)


@pytest.mark.parametrize("reason", [Reason.COMPLETED, Reason.CREDENTIALS_REFUSED, Reason.SOURCE_UNREACHABLE])
def test_killed_at_every_write_the_rows_agree_with_the_resources(reason: Reason) -> None:
    def made() -> World:
        world = audited(reason)
        world.apply("broken", auditLog="Enabled", files=[{"name": "uploads", "claimName": "missing"}])
        return world

    def check(world: World) -> None:
        assert_settled(world)
        phases = {run["metadata"]["uid"]: run["status"]["phase"].upper() for run in world.in_(RUNS)}
        assert world.rows == phases

    killed_everywhere(made, check, least=12)


def pruning(keep: int, count: int) -> World:
    world = World()
    for number in range(count):
        world.apply(f"b{number}", retention={"keepLast": keep})
        world.tick()
    return world


def assert_pruned(world: World, keep: int) -> None:
    assert_settled(world)
    assert len(world.bundles) == keep
    for run in world.in_(RUNS):
        expected = ("True", "Completed") if run["metadata"]["uid"] in world.bundles else ("False", "Pruned")
        assert condition(world, run["metadata"]["name"], "LocalBundlePresent") == expected


def test_older_bundles_go_and_their_resources_say_so() -> None:
    world = pruning(2, 5)
    to_rest(world)
    assert_pruned(world, 2)
    assert event_reasons(world).count("Pruned") == 3


def test_resources_of_removed_bundles_say_so_although_nobody_can_tell_who_is_left() -> None:
    world = pruning(2, 5)
    world.has_spoilt_record = True
    to_rest(world)
    assert_pruned(world, 2)


def test_bundles_of_another_storage_are_not_called_pruned() -> None:
    world = World()
    world.apply("elsewhere", storage={"local": {"claimName": "bundles", "subPath": "other"}})
    to_rest(world)
    world.apply("here", retention={"keepLast": 1})
    world.bundles.clear()
    to_rest(world)
    assert condition(world, "elsewhere", "LocalBundlePresent") == ("True", "Completed")


def test_killed_at_every_write_a_pruning_run_tells_the_truth() -> None:
    killed_everywhere(lambda: pruning(1, 3), lambda world: assert_pruned(world, 1), least=20)


def deleted(policy: str) -> World:
    world = World()
    world.apply("night", deletionPolicy=policy)
    to_rest(world)
    world.delete("night")
    return world


def test_deleting_a_resource_removes_its_bundle_only_with_policy_delete() -> None:
    for policy, left in (("Retain", 1), ("Delete", 0)):
        world = deleted(policy)
        to_rest(world)
        assert (len(world.bundles), world.in_(RUNS)) == (left, [])


def test_the_policy_can_be_changed_after_the_end() -> None:
    world = World()
    world.apply("night")
    to_rest(world)
    world.change(f"{RUNS}/night", spec=world.objects[f"{RUNS}/night"]["spec"] | {"deletionPolicy": "Delete"})
    to_rest(world)
    world.delete("night")
    to_rest(world)
    assert (world.bundles, world.in_(RUNS)) == ([], [])


def test_a_bundle_whose_claim_is_gone_does_not_hold_up_the_deletion() -> None:
    world = deleted("Delete")
    del world.objects[f"{CLAIMS}/bundles"]
    to_rest(world)
    assert (world.in_(RUNS), task_jobs(world, "remove")) == ([], [])


@pytest.mark.parametrize("at", range(10))
def test_deleted_with_its_bundle_at_any_moment_nothing_hangs(at: int) -> None:
    world = World()
    world.apply("night", deletionPolicy="Delete")
    client = Client(world)
    rounds(client, at)
    world.delete("night")
    to_rest(world, client)
    assert world.in_(RUNS) == []


def test_a_bundle_that_was_stored_but_not_reported_is_removed_too() -> None:
    world = World()
    world.apply("night", deletionPolicy="Delete", backoffLimit=0)
    client = Client(world)
    rounds_until(client, lambda: bool(world.committed))
    world.delete("night")
    to_rest(world, client)
    assert (world.bundles, world.in_(RUNS)) == ([], [])


def going_away(world: World) -> Client:
    """A client in a namespace that is terminating, whose Role was deleted before the resource."""
    world.objects[NAMESPACE] = {"metadata": {"name": "shop", "deletionTimestamp": world.now.isoformat()}}

    def refuse(moment: str, request: str) -> None:
        path = request.partition(" ")[2] or request
        if moment != "after" and path not in (NAMESPACE, RUNS, f"{RUNS}/night"):
            raise Refused(f"{request}: forbidden (403)")

    return Client(world, refuse)


def test_a_namespace_that_goes_away_is_not_held_up_though_its_role_has_gone_first() -> None:
    world = deleted("Delete")
    finished(reconciler(world, going_away(world)).reconcile(Key("QuoteNodeBackup", "shop", "night")))
    assert world.in_(RUNS) == []


def test_an_operator_that_may_not_serve_it_any_more_lets_it_go_too() -> None:
    world = deleted("Delete")
    finished(release_finalizers(Client(world), ["shop"]))
    assert world.in_(RUNS) != []
    finished(release_finalizers(going_away(world), ["shop"]))
    assert world.in_(RUNS) == []


def made_removal_job(client: Client) -> str:
    """Path of the Job that removes the bundle, as soon as there is one. No time passes, so the Job has no pod yet."""
    while not task_jobs(client.world, "remove"):
        finished(one_round(client))
    [job] = task_jobs(client.world, "remove")
    return job


WAITS = "The Job that removes the bundle waits: No node can take pod waits: 0/2 nodes are available"


def with_a_removal_that_waits(client: Client) -> str:
    """Path of the Job that removes the bundle. No node takes its pod."""
    world, job = client.world, made_removal_job(client)
    pod_labels = world.objects[job]["spec"]["template"]["metadata"]["labels"]
    pod_labels = pod_labels | {"batch.kubernetes.io/job-name": job.rpartition("/")[2]}
    world.put(PODS, "waits", {"metadata": {"labels": pod_labels}, "spec": {}})["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}],
    }
    return job


def ends_by_its_deadline(world: World, job: str) -> None:
    world.objects.pop(f"{PODS}/waits", None)
    world.now += timedelta(seconds=120)
    over = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}
    world.change(job, status={"conditions": [over | {"lastTransitionTime": world.now.isoformat()}]})


def said_of_the_bundle(client: Client) -> str:
    """After one more pass."""
    finished(one_round(client))
    conditions = client.world.status("night")["conditions"]
    return str(next(one["message"] for one in conditions if one["type"] == "LocalBundlePresent"))


def test_what_keeps_a_bundle_from_being_removed_is_in_the_status_until_the_next_try() -> None:
    world = deleted("Delete")
    client = Client(world)
    job = with_a_removal_that_waits(client)
    assert said_of_the_bundle(client) == WAITS
    del world.objects[f"{PODS}/waits"]  # the deadline deletes the pod first
    assert said_of_the_bundle(client) == WAITS
    ends_by_its_deadline(world, job)
    for _ in range(3):
        said = said_of_the_bundle(client)
        assert said.startswith("The bundle could not be removed; this is tried again: Job ")
        assert said.endswith(" ended without a result: No node can take pod waits: 0/2 nodes are available")
    to_rest(world, client)
    assert (world.bundles, world.in_(RUNS)) == ([], [])


def test_what_kept_a_pod_from_running_is_forgotten_as_soon_as_it_runs() -> None:
    world = deleted("Delete")
    client = Client(world)
    job = with_a_removal_that_waits(client)
    assert said_of_the_bundle(client) == WAITS
    world.objects[f"{PODS}/waits"]["status"] = {"phase": "Running"}
    assert said_of_the_bundle(client) == "The local bundle is being removed"
    ends_by_its_deadline(world, job)
    assert "0/2 nodes are available" not in said_of_the_bundle(client)


def test_a_schedule_with_the_finalizer_of_a_copied_run_can_be_deleted() -> None:
    world = World()
    world.apply("nightly", schedule="0 2 * * *")
    path = f"{RUNS}/nightly"
    world.change(path, metadata=world.objects[path]["metadata"] | {"finalizers": ["backup.quotenode.io/local-bundle"]})
    world.delete("nightly")
    to_rest(world)
    assert world.in_(RUNS) == []


def test_killed_at_every_write_the_bundle_goes_with_its_resource() -> None:
    def check(world: World) -> None:
        assert (world.bundles, world.in_(RUNS)) == ([], [])

    killed_everywhere(lambda: deleted("Delete"), check, least=3)


def crowd(world: World, count: int) -> None:
    for number in range(count):
        database = {"host": "db", "port": 5432, "name": f"shop{number}", "credentialsSecretRef": {"name": "login"}}
        world.apply(f"b{number}", database=database)


def with_room_for(count: int, world: World, client: Client) -> Dispatcher:
    return Dispatcher(context(world, client), limit=ConcurrencyLimit(count, ("shop",)))


def key(name: str) -> Key:
    return Key("QuoteNodeBackup", "shop", name)


def test_no_more_runs_than_the_limit_are_at_work_at_a_time() -> None:
    world = World()
    crowd(world, 6)
    limited = with_room_for(2, world, Client(world))
    most = 0
    for _ in range(200):
        for run in world.in_(RUNS):
            finished(limited.reconcile(key(run["metadata"]["name"])))
        most = max(most, len([job for job in world.in_(JOBS) if not job.get("status", {}).get("conditions")]))
        world.tick()
    assert most == 2
    assert_settled(world)
    assert event_reasons(world).count("WaitingForCapacity") == 4


class Held(Client):
    """Holds every list of runs back until the test lets it go on."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.asked, self.released = asyncio.Event(), asyncio.Event()
        self.released.set()
        self.lists = 0

    async def pages(self, path: str, query: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
        if path == RUNS:
            self.lists += 1
            self.asked.set()
            await self.released.wait()
        async for page in super().pages(path, query):
            yield page

    def hold(self) -> None:
        self.lists = 0
        self.asked.clear()
        self.released.clear()


def locks_held(world: World) -> list[str]:
    return [lease["metadata"]["name"] for lease in world.in_(LEASES) if lease["spec"].get("holderIdentity")]


def names_waiting(world: World) -> list[str]:
    names = [run["metadata"]["name"] for run in world.in_(RUNS)]
    return [name for name in names if world.status(name).get("reason") == "WaitingForCapacity"]


def until_all_places_are_free(world: World, limited: Dispatcher, still_waiting: int) -> list[str]:
    """The names of the runs that still wait: none of them has had a pass since the places are free."""
    waiting: list[str] = []
    while len(waiting) < still_waiting or locks_held(world):
        for run in world.in_(RUNS):
            if run["metadata"]["name"] not in waiting:
                finished(limited.reconcile(key(run["metadata"]["name"])))
        waiting = names_waiting(world)
        world.tick()
    return waiting


def test_a_run_gives_way_to_what_is_urgent_until_it_has_its_lock() -> None:
    world = World()
    crowd(world, 2)
    limited = with_room_for(1, world, Client(world))
    first, second = [[finished(limited.reconcile(key(name))).waits for _ in range(3)] for name in ("b0", "b1")]
    assert (first, second) == ([True, False, False], [True, True, True])


def test_while_a_look_at_the_rivals_takes_its_time_only_half_of_the_workers_wait_for_it() -> None:
    world = World()
    crowd(world, 24)
    client = Held(world)
    limited = with_room_for(12, world, client)
    waiting = until_all_places_are_free(world, limited, 12)

    async def twelve_come() -> None:
        client.hold()
        passes = [asyncio.create_task(limited.reconcile(key(name))) for name in waiting[:WAITING_AT_MOST]]
        await client.asked.wait()
        later = [await asyncio.wait_for(limited.reconcile(key(name)), 5) for name in waiting[WAITING_AT_MOST:]]
        assert len(later) == 12 - WAITING_AT_MOST
        latest = POLL_EXTERNAL + timedelta(seconds=12 / ASKED_PER_SECOND)
        assert all(result.requeue_after and POLL_EXTERNAL <= result.requeue_after <= latest for result in later)
        client.released.set()
        assert {result.requeue_after for result in await asyncio.gather(*passes)} == {NOW}

    asyncio.run(twelve_come())


def test_whoever_only_looks_for_rivals_takes_no_place() -> None:
    """Else an older one of the same database, or one of another, would be turned away though nothing is at work."""
    world = World()
    crowd(world, 3)
    same = dict(world.objects[f"{RUNS}/b0"]["spec"]["database"])
    world.now += timedelta(seconds=1)
    world.apply("younger", database=same)
    client = Held(world)
    limited = with_room_for(1, world, client)
    for name in ("b0", "b1", "younger"):
        finished(limited.reconcile(key(name)))

    async def three_come() -> None:
        client.hold()
        younger = asyncio.create_task(limited.reconcile(key("younger")))
        await client.asked.wait()
        other = asyncio.create_task(limited.reconcile(key("b1")))
        client.released.set()
        assert (await other).requeue_after == NOW
        assert (await younger).requeue_after != NOW

    asyncio.run(three_come())
    assert world.status("b1")["reason"] == "Accepted"
    assert [lease["metadata"]["annotations"][labels.HOLDER] for lease in world.in_(LEASES)] == ["b1"]


def test_all_runs_that_ask_while_a_read_is_under_way_share_the_next_read() -> None:
    world = World()
    crowd(world, 12)
    client = Held(world)
    limited = with_room_for(5, world, client)
    waiting = until_all_places_are_free(world, limited, 7)

    async def five_come() -> None:
        client.hold()
        passes = [asyncio.create_task(limited.reconcile(key(waiting[0])))]
        await client.asked.wait()
        passes += [asyncio.create_task(limited.reconcile(key(name))) for name in waiting[1:5]]
        await asyncio.sleep(0)
        client.released.set()
        assert {result.requeue_after for result in await asyncio.gather(*passes)} == {NOW}

    asyncio.run(five_come())
    assert client.lists == 2
    assert len([lease for lease in world.in_(LEASES) if lease["spec"]["holderIdentity"]]) == 5


def test_waiting_runs_do_not_list_the_leases_once_each() -> None:
    world, lists = World(), []
    crowd(world, 30)
    limited = with_room_for(2, world, Client(world, lambda kind, path: lists.append(path) if kind == "list" else None))

    def asked() -> int:
        lists.clear()
        for run in world.in_(RUNS):
            finished(limited.reconcile(key(run["metadata"]["name"])))
        return lists.count(LEASES)

    while not names_waiting(world):
        asked()
    assert asked() <= 1
    world.tick()
    assert asked() == 1


def test_the_pause_of_waiting_runs_follows_their_present_number() -> None:
    """Otherwise each of the few runs that are left would ask as seldom as one of hundreds."""
    world = World()
    crowd(world, 1000)
    limited = with_room_for(2, world, Client(world))

    def longest() -> timedelta:
        return max(
            requeue_after
            for run in world.in_(RUNS)
            if (requeue_after := finished(limited.reconcile(key(run["metadata"]["name"]))).requeue_after) is not None
        )

    for _ in range(4):
        longest()
    assert longest() > timedelta(seconds=90)
    for number in range(100, 1000):
        world.delete(f"b{number}")
        finished(limited.reconcile(key(f"b{number}")))
    assert longest() <= timedelta(seconds=26)
