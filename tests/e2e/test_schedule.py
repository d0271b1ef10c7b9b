"""Schedules over real minutes: each slot once, whatever is done to them, to their runs and to their operator meanwhile.

A slot is a minute, so the stories go on at the same time: what needs minutes begins with the first test, and the last ones find it done.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import Any

import pytest

from quotenode_backup.domain.naming import slot_run_name, trigger_run_name
from tests.e2e.aftermath import whole_bundles_in
from tests.e2e.backups import a_backup, completed, condition, furnish, lock_is_free, status
from tests.e2e.held import LOCK, dump_held
from tests.e2e.kubectl import Json, Namespace, kubectl
from tests.e2e.operators import OperatorProcess
from tests.e2e.sessions import dump_waits, open_transaction
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually

PREFIX = "backup.quotenode.io"
BUNDLES = "bundles"
# A database each, so that no story waits for another's lock. The held ones use quotenode itself, whose large objects can be locked.
DATABASES = ("minutely", "paused", "away")
EVERY_MINUTE = "* * * * *"
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Site:
    """A namespace whose backups are of databases on one server, which is perhaps elsewhere."""

    namespace: Namespace
    server: str

    def backup(self, name: str, database: str, **changes: Any) -> Json:
        where = {"host": self.server, "name": database}
        spec = {"files": None, "storage": {"local": {"claimName": BUNDLES}}, "pod": {"runAsUser": 1000}}
        return a_backup(name, database=where, **(spec | changes))

    def schedule(self, name: str, database: str, schedule: str = EVERY_MINUTE, **changes: Any) -> Json:
        return self.backup(name, database, schedule=schedule, **changes)

    def runs(self, schedule: str) -> list[Json]:
        """Oldest first."""
        found = self.namespace.items("quotenodebackups", f"{PREFIX}/schedule={schedule}")
        return sorted(found, key=lambda run: (run["metadata"]["creationTimestamp"], run["metadata"]["name"]))

    def ended_runs(self, schedule: str) -> list[Json]:
        return [run for run in self.runs(schedule) if run.get("status", {}).get("phase") in {"Completed", "Failed"}]

    def told(self, name: str, reason: str) -> list[str]:
        """What the Events about a resource say that have this reason."""
        events = self.namespace.items(
            "events.v1.events.k8s.io", "app.kubernetes.io/managed-by=quotenode-backup-operator"
        )
        return [one["note"] for one in events if (one["regarding"]["name"], one["reason"]) == (name, reason)]

    def is_read(self, name: str) -> bool:
        """Whether the operator has taken up the spec as it is now."""
        body = self.namespace.get("quotenodebackup", name) or {}
        return bool(body.get("status", {}).get("observedGeneration") == body["metadata"]["generation"])

    def apply(self, *schedules: Json) -> None:
        """Returns when the operator has read them."""
        self.namespace.apply(*schedules)
        names = [one["metadata"]["name"] for one in schedules]
        eventually(lambda: all(self.is_read(name) for name in names), f"{names} are read", 30)

    def gone(self, *names: str) -> None:
        """Deleted as a person does, who waits until it is."""
        self.namespace.delete("quotenodebackup", *names, options=["--timeout=30s"])


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def delay_of(run: Json) -> timedelta:
    """How long after its slot the run was made."""
    return time_of(run["metadata"]["creationTimestamp"]) - slot_of(run)


def slot_of(run: Json) -> datetime:
    return time_of(run["metadata"]["annotations"][f"{PREFIX}/slot"])


def assert_made_before(site: Site, name: str, slot: datetime) -> None:
    """Whenever the operator sees a schedule, the slots count that came after it was made."""
    body = site.namespace.get("quotenodebackup", name) or {}
    made = body["metadata"]["creationTimestamp"]
    assert time_of(made) < slot, f"this machine is too slow: schedule {name}, whose slot is {slot}, was made at {made}"


def soon(seconds: int = 12) -> tuple[str, datetime]:
    """An expression with a slot a minute, the next of them so soon, and that slot."""
    slot = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
    return f"{slot.second} {EVERY_MINUTE}", slot


@pytest.fixture(scope="module")
def quotenode(own_namespace: Callable[[str], Namespace], deploy: Callable[[Namespace], QuoteNode]) -> QuoteNode:
    found = deploy(own_namespace("schedule"))
    for name in DATABASES:
        found.psql(f"CREATE DATABASE {name} OWNER quotenode", database="postgres")
    return found


@dataclass(frozen=True)
class Away:
    """A site whose operator went away before these three slots, the only ones of schedule `away` within the hour."""

    site: Site
    slots: list[datetime]
    log: Path

    def operator(self) -> OperatorProcess:
        return OperatorProcess(self.site.namespace.name, self.log)


@pytest.fixture(scope="module")
def away(
    quotenode: QuoteNode, own_namespace: Callable[[str], Namespace], tmp_path_factory: pytest.TempPathFactory
) -> Away:
    """It has also a finished run `before`, and a schedule `forgotten`."""
    site = Site(own_namespace("schedule-away"), f"quotenode-db.{quotenode.namespace}")
    log = tmp_path_factory.mktemp("away") / "operator.log"
    furnish(site.namespace)
    with OperatorProcess(site.namespace.name, log):
        site.namespace.apply(site.backup("before", "away"))
        completed(site.namespace, "before")
        first = (datetime.now(UTC) + timedelta(seconds=45)).replace(second=0, microsecond=0) + MINUTE
        slots = [first, first + MINUTE, first + 2 * MINUTE]
        minutes = ",".join(str(slot.minute) for slot in slots)
        site.apply(
            site.schedule("away", "away", f"{minutes} * * * *"),
            site.schedule("forgotten", "away", "0 0 1 1 *"),
        )
    assert datetime.now(UTC) < first, "the operator was to be gone before the first slot"
    return Away(site, slots, log)


@pytest.fixture(scope="module")
def doomed(quotenode: QuoteNode, own_namespace: Callable[[str], Namespace]) -> Site:
    """A second namespace of the operator at hand, to be deleted."""
    site = Site(own_namespace("schedule-doomed"), f"quotenode-db.{quotenode.namespace}")
    furnish(site.namespace)
    return site


@pytest.fixture(scope="module")
def operator_at_hand(
    quotenode: QuoteNode, doomed: Site, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    log = tmp_path_factory.mktemp("at-hand") / "operator.log"
    with OperatorProcess(f"{quotenode.namespace},{doomed.namespace.name}", log) as operator:
        yield operator


@pytest.fixture(scope="module")
def site(quotenode: QuoteNode, operator_at_hand: OperatorProcess, away: Away) -> Site:
    """With a schedule for each minute, which goes on through most of the stories."""
    site = Site(Namespace(quotenode.namespace), f"quotenode-db.{quotenode.namespace}")
    furnish(site.namespace)
    # The last story looks for the bundle of each run: none may have been pruned, however long all of this takes.
    site.apply(site.schedule("minutely", "minutely", retention={"keepLast": 100}))
    return site


def test_an_unknown_time_zone_is_said_and_nothing_starts(site: Site) -> None:
    site.apply(site.schedule("nowhere", "minutely", timeZone="Europe/Nowhere"))

    seen = status(site.namespace, "nowhere")
    sentence = "timeZone 'Europe/Nowhere' is not in the IANA time zone database: correct the spec"
    assert (seen["phase"], seen["reason"], seen["message"]) == ("Failed", "ScheduleInvalid", sentence)
    assert condition(seen, "Accepted")["status"] == "False"
    assert site.told("nowhere", "ScheduleInvalid") == [sentence]
    assert "nextScheduleTime" not in seen
    assert site.runs("nowhere") == []


@pytest.fixture(scope="module")
def paused(site: Site) -> datetime:
    """Schedule `paused` was suspended over this slot, which is behind us."""
    expression, slot = soon()
    site.apply(site.schedule("paused", "paused", expression, suspend=True))
    assert_made_before(site, "paused", slot)
    eventually(lambda: datetime.now(UTC) > slot + timedelta(seconds=2), "a slot has passed", 30)
    return slot


def test_while_suspended_no_slot_starts_a_run_but_a_trigger_does(site: Site, paused: datetime) -> None:
    seen = status(site.namespace, "paused")
    assert (seen["phase"], seen["reason"]) == ("Suspended", "Suspended")
    assert "nextScheduleTime" not in seen
    assert site.runs("paused") == []
    body = site.namespace.get("quotenodebackup", "paused") or {}
    asked = site.schedule("paused", "paused", body["spec"]["schedule"], suspend=True, trigger="for the upgrade: Jane")

    site.apply(asked)

    name = trigger_run_name("paused", body["metadata"]["uid"], "for the upgrade: Jane")
    assert completed(site.namespace, name)["initiatedBy"] == "Admin"
    assert [run["metadata"]["name"] for run in site.runs("paused")] == [name]
    assert f"{PREFIX}/slot" not in site.runs("paused")[0]["metadata"].get("annotations", {})
    assert status(site.namespace, "paused")["lastTrigger"] == "for the upgrade: Jane"
    assert site.told("paused", "RunCreated") == [f"Made run {name}"]

    # The same again, with a change that the operator must have read.
    site.apply(asked | {"spec": asked["spec"] | {"staleAfterSeconds": 3600}})
    assert len(site.runs("paused")) == 1
    assert site.told("paused", "TriggerIgnored") == []

    # Taken back, and given again.
    site.apply({**asked, "spec": {key: value for key, value in asked["spec"].items() if key != "trigger"}})
    eventually(lambda: "lastTrigger" not in status(site.namespace, "paused"), "the trigger is taken back", 30)
    site.apply(asked)
    words = f"Trigger 'for the upgrade: Jane' has the run {name} already, so none is started: use another value"
    eventually(lambda: site.told("paused", "TriggerIgnored") == [words], "the trigger is refused aloud", 30)
    assert len(site.runs("paused")) == 1


def test_resumed_it_makes_up_for_nothing(site: Site, paused: datetime) -> None:
    body = site.namespace.get("quotenodebackup", "paused") or {}
    before = {run["metadata"]["name"] for run in site.runs("paused")}
    eventually(lambda: 2 <= (datetime.now(UTC).second - paused.second) % 60 <= 45, "no slot is near", 30)
    resumed = datetime.now(UTC)
    site.apply(site.schedule("paused", "paused", body["spec"]["schedule"]))
    coming = time_of(status(site.namespace, "paused")["nextScheduleTime"])
    assert resumed < coming <= resumed + MINUTE + timedelta(seconds=10)
    assert coming.second == paused.second

    def made() -> list[Json]:
        return [run for run in site.runs("paused") if run["metadata"]["name"] not in before]

    eventually(made, "the next slot starts a run", 80)
    site.gone("paused")
    assert [slot_of(run) for run in made()] == [coming]
    completed(site.namespace, made()[0]["metadata"]["name"])


def test_a_slot_is_skipped_while_the_run_before_is_on_and_an_edit_is_for_the_next_one(
    site: Site, quotenode: QuoteNode
) -> None:
    with open_transaction(quotenode, LOCK):
        expression, slot = soon()
        site.apply(site.schedule("held", "quotenode", expression, backoffLimit=0))
        assert_made_before(site, "held", slot)
        eventually(lambda: dump_waits(quotenode), "the run of the slot is in its dump", 60)
        site.apply(site.schedule("held", "quotenode", expression, backoffLimit=3))
        eventually(lambda: status(site.namespace, "held").get("skippedSlots"), "a slot is skipped", 80)
        (first,) = site.runs("held")
    completed(site.namespace, first["metadata"]["name"])
    eventually(lambda: len(site.runs("held")) == 2, "the slot after that starts a run", 80)
    site.gone("held")

    first, second = site.runs("held")
    completed(site.namespace, second["metadata"]["name"])
    assert [slot_of(first), slot_of(second)] == [slot, slot + 2 * MINUTE]
    assert [run["spec"]["backoffLimit"] for run in (first, second)] == [0, 3]
    skipped = f"{slot + MINUTE:%Y-%m-%d %H:%M:%SZ}"
    name = first["metadata"]["name"]
    assert site.told("held", "SlotSkipped") == [f"The slot of {skipped} is skipped: run {name} is still on"]


def test_two_schedules_and_a_one_off_of_one_database_queue_and_name_whom_they_wait_for(
    site: Site, quotenode: QuoteNode
) -> None:
    def waiting_run(schedule: str) -> str:
        site.apply(site.schedule(schedule, "quotenode", "0 0 1 1 *", suspend=True, trigger="now"))
        (run,) = eventually(lambda: site.runs(schedule), f"{schedule} has its run", 30)
        name = str(run["metadata"]["name"])
        waits = ("WaitingForTarget", "Waiting for once, which is backing up the same database")

        def is_waiting() -> bool:
            seen = status(site.namespace, name)
            return (seen.get("reason"), seen.get("message")) == waits

        eventually(is_waiting, f"{name} waits for the one-off", 30)
        made = time_of(run["metadata"]["creationTimestamp"])
        eventually(lambda: datetime.now(UTC) > made + timedelta(seconds=1), "the next one will be younger", 5)
        return name

    with dump_held(site.namespace, quotenode, site.backup("once", "quotenode")):
        names = ["once", waiting_run("earlier"), waiting_run("later")]

    ended = [completed(site.namespace, name) for name in names]
    for before, after in pairwise(ended):
        assert time_of(before["completionTime"]) <= time_of(after["startTime"])
    site.gone("earlier", "later")


@pytest.fixture(scope="module")
def minutely(site: Site) -> list[Json]:
    """The runs of at least three slots, as they were when the third had ended."""
    return eventually(lambda: three_or_none(site.ended_runs("minutely")), "three slots have had their runs", 260)


def three_or_none(runs: list[Json]) -> list[Json]:
    return runs if len(runs) >= 3 else []


def test_each_slot_has_one_run_on_the_minute(site: Site, minutely: list[Json]) -> None:
    schedule = site.namespace.get("quotenodebackup", "minutely") or {}
    uid = schedule["metadata"]["uid"]
    slots = [slot_of(run) for run in minutely]
    assert slots == [slots[0] + count * MINUTE for count in range(len(slots))]
    assert slots[0].second == 0
    # A busy machine can be late for one slot, but not for most of them.
    assert median_low(delay_of(run) for run in minutely) <= timedelta(seconds=20)
    for run, slot in zip(minutely, slots, strict=True):
        meta = run["metadata"]
        assert meta["name"] == slot_run_name("minutely", uid, slot)
        assert meta["labels"] == {
            "app.kubernetes.io/managed-by": "quotenode-backup-operator",
            f"{PREFIX}/schedule": "minutely",
            f"{PREFIX}/schedule-uid": uid,
            f"{PREFIX}/initiated-by": "Scheduler",
        }
        assert "ownerReferences" not in meta
        assert timedelta(0) <= delay_of(run) < MINUTE
        assert (run["status"]["phase"], run["status"]["initiatedBy"]) == ("Completed", "Scheduler")
        assert not {"schedule", "timeZone", "suspend", "trigger"} & set(run["spec"])


def test_a_schedule_tells_of_its_slots_and_runs(site: Site, minutely: list[Json]) -> None:
    def is_between_slots() -> Json | None:
        seen = status(site.namespace, "minutely")
        is_told = seen["nextScheduleTime"] > seen["lastScheduleTime"]
        return seen if is_told and seen["lastRun"].get("phase") == "Completed" else None

    seen = eventually(is_between_slots, "the newest run has ended", 60)
    last = time_of(seen["lastScheduleTime"])
    words = f"Runs are made as scheduled; the last one, {seen['lastRun']['name']}, is Completed"
    assert (seen["phase"], seen["reason"], seen["message"]) == ("Scheduled", "Scheduled", words)
    assert last >= slot_of(minutely[-1])
    assert time_of(seen["nextScheduleTime"]) == last + MINUTE
    assert last <= time_of(seen["lastSuccessfulTime"]) < last + MINUTE
    assert condition(seen, "Stale")["status"] == "False"
    assert seen.get("missedSlots", 0) == seen.get("skippedSlots", 0) == 0
    assert "lastFailedTime" not in seen


def test_a_deleted_schedule_leaves_its_runs_and_a_deleted_run_its_bundle(site: Site, minutely: list[Json]) -> None:
    site.gone("minutely")
    runs = site.runs("minutely")
    assert {run["metadata"]["name"] for run in minutely} <= {run["metadata"]["name"] for run in runs}
    for run in runs:
        completed(site.namespace, run["metadata"]["name"])
    site.gone(minutely[0]["metadata"]["name"])

    bundles = {run["status"]["destinations"][0]["path"] for run in minutely}
    assert bundles <= whole_bundles_in(site.namespace, BUNDLES)
    eventually(lambda: lock_is_free(site.namespace), "no lock is left", 30)


def test_with_the_operator_away_schedules_and_runs_can_be_deleted(away: Away) -> None:
    bundle = status(away.site.namespace, "before")["destinations"][0]["path"]
    away.site.gone("before", "forgotten")
    assert bundle in whole_bundles_in(away.site.namespace, BUNDLES)


def test_after_three_slots_without_an_operator_one_run_catches_up_and_two_are_missed(away: Away) -> None:
    eventually(lambda: datetime.now(UTC) > away.slots[-1], "the third slot has passed", 300)
    with away.operator():
        (run,) = eventually(lambda: away.site.runs("away"), "it has caught up", 60)
        completed(away.site.namespace, run["metadata"]["name"])
        eventually(
            lambda: status(away.site.namespace, "away").get("lastSuccessfulTime"), "the schedule knows of the run", 30
        )
    seen = status(away.site.namespace, "away")
    last = away.slots[-1]
    assert (slot_of(run), time_of(seen["lastScheduleTime"]), seen["missedSlots"]) == (last, last, 2)
    assert len(away.site.runs("away")) == 1
    assert away.site.told("away", "SlotMissed") == [
        f"2 slots before {last:%Y-%m-%d %H:%M:%SZ} passed without an operator: no run was made for them"
    ]


def test_namespaces_can_be_deleted_in_the_middle_of_a_run_and_with_the_operator_away(
    doomed: Site, away: Away, quotenode: QuoteNode, operator_at_hand: OperatorProcess
) -> None:
    with open_transaction(quotenode, LOCK):
        doomed.apply(doomed.schedule("doomed", "quotenode", trigger="now"))
        eventually(lambda: dump_waits(quotenode), "its run is in its dump", 60)

        kubectl("delete", "namespace", doomed.namespace.name, away.site.namespace.name, "--timeout=110s")

    assert operator_at_hand.process.poll() is None
