"""A QuoteNodeRestore as the operator reads and writes it."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from quotenode_backup.api.finished_mark import FinishedMark
from quotenode_backup.api.restore_status import RestorePlan, RestoreTarget, Stage
from quotenode_backup.cluster.errors import Unreadable
from quotenode_backup.cluster.finished_marks import mark_for
from quotenode_backup.cluster.resource_parsing import status_patch
from quotenode_backup.cluster.restore_objects import RestoreRun, UnreadableRestore
from quotenode_backup.cluster.restore_parsing import is_settled, restore_of, target_of
from quotenode_backup.cluster.restores import Restores
from quotenode_backup.domain.owner import Key, Owner
from quotenode_backup.domain.target import Target
from quotenode_backup.manifests import labels
from tests.unit.fakes.world import Client, World

Json = dict[str, Any]
PATH = "/apis/backup.quotenode.io/v1beta1/namespaces/shop/quotenoderestores"
DATABASE = {"host": "db", "port": 5432, "name": "shop", "credentialsSecretRef": {"name": "login"}}
TARGET = {"host": "db", "port": 5432, "name": "shop"}
NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)


def body(spec: Json | None = None, **status: object) -> Json:
    return {
        "metadata": {
            "namespace": "shop",
            "name": "again",
            "uid": "1",
            "resourceVersion": "1",
            "creationTimestamp": "2026-11-24T02:00:00Z",
        },
        "spec": {"source": {"backupName": "first"}} | (spec or {}),
        "status": status,
    }


def run_of(item: Json) -> RestoreRun:
    found = restore_of(item)
    assert isinstance(found, RestoreRun)
    return found


def condition(kind: str, status: str = "True") -> Json:
    return {
        "type": kind,
        "status": status,
        "reason": "Completed",
        "message": "Done",
        "lastTransitionTime": "2026-11-24T03:00:00Z",
        "observedGeneration": 1,
    }


def finished(kept: str = "False") -> Json:
    """A restore that has nothing more to do, unless it keeps what it replaced."""
    item = body(
        phase="Completed",
        completionTime="2026-11-24T03:00:00Z",
        conditions=[condition("Complete"), condition("ReplacedDataKept", kept)],
    )
    mark = mark_for(run_of(item)).model_dump_json(by_alias=True, exclude_none=True)
    item["metadata"]["annotations"] = {labels.FINISHED: mark}
    return item


def test_it_is_of_its_kind() -> None:
    assert run_of(body()).owner == Owner("QuoteNodeRestore", "shop", "again", "1")


def test_what_does_not_fit_in_its_spec_is_named() -> None:
    found = restore_of(body({"tables": [{"name": "offers"}]}))
    assert isinstance(found, UnreadableRestore)
    assert found.fault.startswith("spec.tables does not fit this operator's release (")


def test_a_status_of_another_release_is_reported_by_its_field() -> None:
    with pytest.raises(Unreadable, match=r"status\.stage is not of this operator's release"):
        restore_of(body(stage="Dreaming"))


def test_the_database_that_it_names_is_the_one_that_it_locks() -> None:
    item = body({"database": DATABASE}, target=TARGET | {"name": "another"})
    assert run_of(item).target == target_of(item) == Target("shop", "db", 5432, "shop")


def test_a_database_that_it_inherits_is_known_once_it_was_looked_up_even_if_its_spec_cannot_be_read() -> None:
    assert run_of(body()).target is target_of(body()) is None
    item = body(target=TARGET)
    assert run_of(item).target == target_of(item) == Target("shop", "db", 5432, "shop")
    assert restore_of(body({"tables": []}, target=TARGET)).target == Target("shop", "db", 5432, "shop")


def test_a_clock_ends_it_only_if_one_was_set_and_never_after_the_application_was_stopped() -> None:
    assert run_of(body()).deadline is None
    limited = {"activeDeadlineSeconds": 600}
    assert run_of(body(limited)).deadline
    stopped = {"workloads": [], "userId": 1}
    assert run_of(body(limited, stopped=stopped)).deadline is None
    assert run_of(body(limited, pointOfNoReturn="2026-11-24T02:10:00Z")).deadline is None


def test_one_that_lost_its_status_after_it_had_finished_is_history_and_must_not_run_again() -> None:
    item = finished() | {"status": {}}
    item["metadata"]["uid"] = "2"
    found = run_of(item)
    assert found.is_history
    assert found.is_over
    assert found.came_back
    assert found.original_uid == "1"


def test_the_mark_of_a_restore_names_no_bundle() -> None:
    mark = FinishedMark.model_validate_json(finished()["metadata"]["annotations"][labels.FINISHED])
    assert (mark.phase, mark.bundle) == ("Completed", None)


def test_it_is_settled_once_it_has_finished_and_keeps_nothing() -> None:
    assert is_settled(finished())
    assert not is_settled(finished(kept="True"))
    assert not is_settled(finished(kept="Unknown"))
    assert not is_settled(body(stage="Loading"))
    held = finished()
    held["metadata"]["finalizers"] = [labels.RESTORE_FINALIZER]
    assert not is_settled(held)


def test_what_goes_from_a_part_of_a_status_is_null_in_the_patch() -> None:
    """A merge patch leaves alone what it does not name."""
    old = run_of(body()).status.model_copy(update={"plan": RestorePlan(rows=7, tables=2), "stage": Stage.LOADING})
    new = old.model_copy(update={"plan": RestorePlan(rows=8), "stage": None})
    assert status_patch(old, new)["plan"]["rows"] == 8
    assert status_patch(old, new)["plan"]["tables"] is None
    assert status_patch(old, new)["stage"] is None


def test_it_is_read_written_and_listed_under_its_own_path() -> None:
    world = World()
    world.put(PATH, "again", {"spec": body({"database": DATABASE})["spec"]})
    restores = Restores(Client(world))

    async def story() -> None:
        found = await restores.read("shop", "again")
        assert isinstance(found, RestoreRun)
        known = RestoreTarget(host="db", port=5432, name="shop")
        written = await restores.write_status(found, found.status.model_copy(update={"target": known}))
        assert written.status.target == known
        await restores.set_finalizer(written, present=True)
        held = await restores.read("shop", "again")
        assert held
        assert held.has_finalizer
        assert [key async for key in restores.unsettled("shop")] == [Key("QuoteNodeRestore", "shop", "again")]
        assert [one.owner for one in await restores.unfinished("shop")] == [held.owner]

    asyncio.run(story())
    assert world.objects[f"{PATH}/again"]["metadata"]["finalizers"] == [labels.RESTORE_FINALIZER]


def test_a_backup_and_a_restore_of_one_name_are_two_resources() -> None:
    world = World()
    world.apply("again")
    assert asyncio.run(Restores(Client(world)).read("shop", "again")) is None
