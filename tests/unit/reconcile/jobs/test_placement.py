"""On which node the pod must run, and as which user."""

from typing import Any

import pytest

from quotenode_backup.cluster.objects import Claim, Mounter
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.placement import Placement
from quotenode_backup.reconcile.backup.needs import needs_of
from quotenode_backup.reconcile.jobs.placement import IMAGE_USER, Misplaced, beside, place
from tests.unit.fakes.given import run, spec

FILES = [{"name": "uploads", "claimName": "uploads"}, {"name": "pdfs", "claimName": "pdfs"}]
TAINT = {"key": "disk", "operator": "Exists"}


def claim(name: str, mode: str = "ReadWriteOnce") -> Claim:
    return Claim(name, frozenset({mode}))


def by(pod: str, node: str = "worker", user: int | None = 1000, *tolerations: Any) -> Mounter:
    return Mounter(pod, node, user, tolerations)


def placed(
    files: Any = FILES, *, mode: str = "ReadWriteOnce", absent: str = "", pod: Any = None, **mounters: Any
) -> Any:
    names = sorted({file["claimName"] for file in files} | {"bundles"})
    claims = {name: None if name == absent else claim(name, mode) for name in names}
    return place(
        needs_of(run(spec=spec(files=files, pod=pod or {})), None),
        claims,
        {name: mounters.get(name, []) for name in names},
    )


def test_without_files_nothing_binds_the_pod() -> None:
    assert placed([]) == Placement(user=IMAGE_USER, node=None)


def test_the_pod_follows_whoever_has_the_files() -> None:
    assert placed(uploads=[by("web")]) == Placement(user=1000, node="worker")


def test_the_pod_follows_whoever_has_the_bundles() -> None:
    assert placed([], bundles=[by("other", "far")]) == Placement(user=IMAGE_USER, node="far", leaves_modes=True)


def test_the_group_of_files_on_a_claim_of_bundles_that_others_mount_is_left_alone() -> None:
    """The claim may hold the application's files too, whether or not they are backed up."""
    assert placed([], bundles=[]).leaves_modes is False
    assert placed(uploads=[by("web")], bundles=[by("web")]).leaves_modes is True


def test_the_user_is_found_by_the_second_claim_when_no_pod_mounts_the_first() -> None:
    assert placed(pdfs=[by("web", user=33)]) == Placement(user=33, node="worker")


def test_a_root_pod_beside_the_application_does_not_hide_the_applications_user() -> None:
    assert placed(uploads=[by("shell", user=0), by("web", user=33)]) == Placement(user=33, node="worker")


def test_a_chosen_user_comes_before_what_is_seen() -> None:
    assert placed(pod={"runAsUser": 7}, uploads=[by("web")]) == Placement(user=7, node="worker")


def test_the_tolerations_of_the_mounting_pods_are_taken_over_once_each() -> None:
    found = placed(uploads=[by("a", "worker", 1, TAINT)], pdfs=[by("b", "worker", 1, TAINT, {"key": "x"})])
    assert found.tolerations == (TAINT, {"key": "x"})


@pytest.mark.parametrize("mode", ["ReadWriteMany", "ReadOnlyMany"])
def test_a_shared_claim_binds_to_no_node(mode: str) -> None:
    assert placed(mode=mode, uploads=[by("a", "one")], pdfs=[by("b", "two")]) == Placement(user=1000, node=None)


def test_claims_on_two_nodes_are_refused_with_both_named() -> None:
    refused = placed(uploads=[by("web", "one")], pdfs=[by("api", "two")])
    assert (refused.reason, refused.may_pass) == (Reason.CLAIMS_APART, False)
    assert "pdfs on two (pod api), uploads on one (pod web)" in refused.message


def test_a_claim_for_one_pod_alone_is_refused_while_a_pod_has_it() -> None:
    refused = placed(mode="ReadWriteOncePod", uploads=[by("web")])
    assert (refused.reason, refused.may_pass) == (Reason.CLAIM_IN_USE, False)
    assert "uploads" in refused.message
    assert "web" in refused.message


def test_a_claim_for_one_pod_alone_is_fine_while_none_has_it() -> None:
    assert isinstance(placed(mode="ReadWriteOncePod", pod={"runAsUser": 7}), Placement)


def test_an_absent_claim_is_named_and_may_still_come() -> None:
    refused = placed(absent="uploads")
    assert (refused.reason, refused.may_pass) == (Reason.CLAIM_MISSING, True)
    assert "PersistentVolumeClaim uploads does not exist" in refused.message


def test_files_that_no_pod_mounts_need_a_chosen_user() -> None:
    refused = placed()
    assert (refused.reason, refused.may_pass) == (Reason.RUN_AS_USER_NEEDED, True)
    assert "pdfs, uploads" in refused.message
    assert "set spec.pod.runAsUser" in refused.message


@pytest.mark.parametrize(("user", "may_pass", "finding"), [(0, False, "runs as root"), (None, True, "does not say")])
def test_root_or_an_unknown_user_needs_a_chosen_user(user: int | None, may_pass: bool, finding: str) -> None:
    refused = placed(uploads=[by("web", user=user)])
    assert isinstance(refused, Misplaced)
    assert (refused.reason, refused.may_pass) == (Reason.RUN_AS_USER_NEEDED, may_pass)
    assert f"Pod web, which mounts the files, {finding}" in refused.message


def test_a_pod_with_one_claim_follows_the_pod_that_mounts_it() -> None:
    there = [by("web", "far", 33, TAINT), by("second", "far")]
    found = beside(7, claim("bundles"), there)
    assert (found, found.tolerations) == (Placement(user=7, node="far", tolerations=(TAINT,)), (TAINT,))
    assert beside(7, claim("bundles"), []) == Placement(user=7, node=None)
    assert beside(7, claim("bundles", "ReadWriteMany"), there) == Placement(user=7, node=None)
