"""Which bundles stay on the volume, and which go with their resource."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.aftermath import BUNDLES, bundles_in, whole_bundles_in
from tests.e2e.backups import a_backup, completed, condition, failed, finished, status
from tests.e2e.claims import files_in, run_on
from tests.e2e.kubectl import Json, Namespace, kubectl
from tests.e2e.operators import OperatorProcess
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually


@pytest.fixture(scope="module")
def namespace(watched: Callable[[str], Namespace]) -> Namespace:
    return watched("retention")


@pytest.fixture(scope="module")
def quotenode(namespace: Namespace, deploy: Callable[[Namespace], QuoteNode]) -> QuoteNode:
    return deploy(namespace)


@pytest.fixture
def storage(namespace: Namespace, quotenode: QuoteNode, request: pytest.FixtureRequest) -> Json:
    """A folder of its own for each story."""
    return {"local": {"claimName": BUNDLES, "subPath": request.node.name.removeprefix("test_")[:60]}}


def back_up(namespace: Namespace, name: str, storage: Json, keep: int | None = None, **changes: object) -> Json:
    """As the user that looks into the claim, and may so spoil and pin what is there."""
    pod = {"fsGroup": 1000, "runAsUser": 1000}
    retention = {"retention": {"keepLast": keep}} if keep else {}
    namespace.apply(a_backup(name, storage=storage, files=None, pod=pod, **retention, **changes))
    return completed(namespace, name)


def path(seen: Json) -> str:
    return str(seen["destinations"][0]["path"])


def below(namespace: Namespace, storage: Json) -> set[str]:
    """The whole bundles of a story."""
    return {one for one in whole_bundles_in(namespace, BUNDLES) if one.startswith(storage["local"]["subPath"])}


def presence(namespace: Namespace, name: str) -> tuple[str, str]:
    found = condition(status(namespace, name), "LocalBundlePresent")
    return found["status"], found["reason"]


def warned(namespace: Namespace, name: str) -> str:
    """The note of the Event about retention, as soon as there is one."""

    def found() -> str:
        events = namespace.items("events.v1.events.k8s.io", fields=f"regarding.name={name},reason=RetentionFailed")
        return str(events[0]["note"]) if events else ""

    return eventually(found, f"an Event says what is wrong with the retention of {name}", 20)


def test_exactly_as_many_stay_and_the_resources_of_the_others_say_so(namespace: Namespace, storage: Json) -> None:
    paths = {name: path(back_up(namespace, name, storage, keep=2)) for name in ("n1", "n2", "n3", "n4")}
    assert below(namespace, storage) == {paths["n3"], paths["n4"]}
    left = [one for one in files_in(namespace, BUNDLES) if one.startswith(storage["local"]["subPath"])]
    assert len(left) == 6, left
    assert [presence(namespace, name) for name in paths] == [("False", "Pruned")] * 2 + [("True", "Completed")] * 2


def test_without_retention_a_one_off_removes_nothing(namespace: Namespace, storage: Json) -> None:
    kept = {path(back_up(namespace, name, storage)) for name in ("a1", "a2", "a3")}
    assert below(namespace, storage) == kept


def test_a_bundle_that_has_gone_bad_does_not_count_so_an_older_good_one_stays(
    namespace: Namespace, storage: Json
) -> None:
    older, newest = (path(back_up(namespace, name, storage)) for name in ("c1", "c2"))
    run_on(namespace, BUNDLES, f"printf rotten | dd of='{newest}' bs=1 seek=600 conv=notrunc status=none")
    after = path(back_up(namespace, "c3", storage, keep=2))
    assert below(namespace, storage) == {older, after}
    assert Path(newest).name in warned(namespace, "c3")
    assert presence(namespace, "c1") == ("True", "Completed")


def test_a_record_that_can_not_be_read_is_left_with_its_bundle_and_keeps_no_other(
    namespace: Namespace, storage: Json
) -> None:
    first, second = (path(back_up(namespace, name, storage)) for name in ("u1", "u2"))
    run_on(namespace, BUNDLES, f"chmod 000 '{first}.manifest.json'")
    third = path(back_up(namespace, "u3", storage, keep=1))
    run_on(namespace, BUNDLES, f"chmod 640 '{first}.manifest.json'")
    assert second not in below(namespace, storage)
    assert below(namespace, storage) == {first, third}
    assert f"{Path(first).name}.manifest.json" in warned(namespace, "u3")
    assert presence(namespace, "u1") == ("True", "Completed")


def test_failures_prune_nothing(namespace: Namespace, storage: Json) -> None:
    good = path(back_up(namespace, "f1", storage))
    for number in range(3):
        broken = {"name": "not_there"}
        name = f"f-broken-{number}"
        namespace.apply(
            a_backup(name, storage=storage, retention={"keepLast": 1}, database=broken, auditLog="Disabled")
        )
        failed(namespace, name, "DatabaseNotFound", 120)
    assert below(namespace, storage) == {good}


def test_a_pinned_bundle_stays_and_is_not_counted(namespace: Namespace, storage: Json) -> None:
    pinned = path(back_up(namespace, "p1", storage))
    run_on(namespace, BUNDLES, f"touch '{pinned}.keep'")
    back_up(namespace, "p2", storage)
    newest = path(back_up(namespace, "p3", storage, keep=1))
    assert below(namespace, storage) == {pinned, newest}
    assert presence(namespace, "p1") == ("True", "Completed")
    assert presence(namespace, "p2") == ("False", "Pruned")


def test_two_databases_in_one_folder_never_mix(namespace: Namespace, quotenode: QuoteNode, storage: Json) -> None:
    quotenode.psql("CREATE DATABASE second OWNER quotenode")
    other = path(back_up(namespace, "d1", storage, database={"name": "second"}, auditLog="Disabled"))
    back_up(namespace, "d2", storage)
    newest = path(back_up(namespace, "d3", storage, keep=1))
    assert below(namespace, storage) == {other, newest}
    assert presence(namespace, "d1") == ("True", "Completed")


def test_a_resource_takes_its_bundle_along_only_when_told_to(namespace: Namespace, storage: Json) -> None:
    kept = path(back_up(namespace, "r-keep", storage))
    gone = path(back_up(namespace, "r-delete", storage, deletionPolicy="Delete"))
    changed = path(back_up(namespace, "r-changed", storage))
    namespace.kubectl("patch", "qnb", "r-changed", "--type=merge", "--patch", '{"spec": {"deletionPolicy": "Delete"}}')
    has_finalizer = "jsonpath={.metadata.finalizers[0]}=backup.quotenode.io/local-bundle"
    namespace.kubectl("wait", "qnb/r-changed", f"--for={has_finalizer}", "--timeout=20s")
    assert {kept, gone, changed} == below(namespace, storage)
    for name in ("r-keep", "r-delete", "r-changed"):
        namespace.delete("quotenodebackup", name, options=["--timeout=60s"])
    assert below(namespace, storage) == {kept}
    assert {one for one in bundles_in(namespace, BUNDLES) if one.startswith(storage["local"]["subPath"])} == {kept}


def test_a_pin_is_stronger_than_a_deletion(namespace: Namespace, storage: Json) -> None:
    pinned = path(back_up(namespace, "pin", storage, deletionPolicy="Delete"))
    run_on(namespace, BUNDLES, f"touch '{pinned}.keep'")
    namespace.delete("quotenodebackup", "pin", options=["--timeout=60s"])
    assert below(namespace, storage) == {pinned}


def test_deletions_wait_for_an_operator_that_is_down_and_a_namespace_does_not_hang(
    own_namespace: Callable[[str], Namespace],
    deploy: Callable[[Namespace], QuoteNode],
    tmp_path: Path,
) -> None:
    namespace = own_namespace("retention-doomed")
    deploy(namespace)
    storage = {"local": {"claimName": BUNDLES}}
    with OperatorProcess(namespace.name, tmp_path / "first.log"):
        bundle = path(back_up(namespace, "waits", storage, deletionPolicy="Delete"))
        back_up(namespace, "stays", storage, deletionPolicy="Delete")
    namespace.delete("quotenodebackup", "waits", options=["--wait=false"])
    assert finished(namespace, "waits", 5)["phase"] == "Completed"
    with OperatorProcess(namespace.name, tmp_path / "second.log"):
        namespace.kubectl("wait", "qnb/waits", "--for=delete", "--timeout=150s", timeout=160)
        assert bundle not in bundles_in(namespace, BUNDLES)
        kubectl("delete", "namespace", namespace.name, "--timeout=120s", timeout=130)
