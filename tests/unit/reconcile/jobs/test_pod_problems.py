"""Why a pod does not run: which causes may go away by waiting, and what the message says in the meantime."""

from typing import Any

import pytest

from quotenode_backup.domain.reasons import Reason
from quotenode_backup.reconcile.jobs.pod_problems import with_pod, without_pod
from tests.unit.fakes.given import pod


def pending(warning: str = "", **changes: Any) -> Any:
    return with_pod(pod(phase="Pending", **changes), warning)


@pytest.mark.parametrize("phase", ["Running", "Succeeded", "Failed"])
def test_a_pod_that_is_not_pending_has_no_problem(phase: str) -> None:
    assert with_pod(pod(phase=phase), "FailedMount once") is None


def test_a_job_without_a_pod_and_without_a_reason_may_wait() -> None:
    assert without_pod("").transient


def test_a_refusal_is_quoted_with_the_remedy() -> None:
    found = without_pod("exceeded quota: small")
    assert (found.reason, found.transient) == (Reason.POD_REJECTED, False)
    assert "exceeded quota: small. Raise the quota, relax the policy" in found.message


@pytest.mark.parametrize(
    "waiting_reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"]
)
def test_an_image_that_cannot_be_pulled_is_reported_with_the_kubelets_message(waiting_reason: str) -> None:
    found = pending(waiting_reason=waiting_reason, waiting_message="no such manifest")
    assert (found.reason, found.transient) == (Reason.IMAGE_PULL, False)
    assert f"({waiting_reason}): no such manifest" in found.message


@pytest.mark.parametrize("waiting_reason", ["CreateContainerConfigError", "CreateContainerError", "RunContainerError"])
def test_a_container_that_cannot_be_created_counts_as_a_rejected_pod(waiting_reason: str) -> None:
    found = pending(waiting_reason=waiting_reason)
    assert (found.reason, found.transient) == (Reason.POD_REJECTED, False)


@pytest.mark.parametrize("fate", ["not found", "is being deleted"])
def test_an_absent_claim_is_named(fate: str) -> None:
    found = pending(unscheduled_message=f'0/2 nodes are available: persistentvolumeclaim "pdfs" {fate}. preemption: 0')
    assert (found.reason, found.transient) == (Reason.CLAIM_MISSING, False)
    assert "PersistentVolumeClaim pdfs" in found.message


def test_volumes_on_two_nodes_cannot_be_mounted_by_one_pod() -> None:
    found = pending(unscheduled_message="0/2 nodes are available: 2 node(s) had volume node affinity conflict.")
    assert (found.reason, found.transient) == (Reason.CLAIMS_APART, False)


def test_a_full_cluster_may_have_room_later() -> None:
    found = pending(unscheduled_message="0/2 nodes are available: 2 Insufficient cpu.")
    assert (found.reason, found.transient) == (Reason.UNSCHEDULABLE, True)
    assert "Insufficient cpu" in found.message


def test_a_mount_that_fails_is_reported_and_waited_for() -> None:
    found = pending("MountVolume.SetUp failed for volume")
    assert (found.reason, found.message, found.transient) == (
        Reason.JOB_CREATED,
        "MountVolume.SetUp failed for volume",
        True,
    )
