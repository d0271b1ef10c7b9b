import pytest

from quotenode_backup.cluster.backup_parsing import backup_of
from quotenode_backup.cluster.errors import Unreadable
from quotenode_backup.cluster.objects import UnreadableRun
from quotenode_backup.cluster.parsing import lease_of, pod_of
from quotenode_backup.manifests import labels


def body(**status: object) -> dict[str, object]:
    return {
        "metadata": {
            "namespace": "shop",
            "name": "night",
            "uid": "1",
            "resourceVersion": "1",
            "creationTimestamp": "2026-03-01T02:00:00Z",
        },
        "spec": {
            "database": {"host": "db", "name": "shop", "credentialsSecretRef": {"name": "login"}},
            "storage": {"local": {"claimName": "bundles"}},
        },
        "status": status,
    }


def test_fields_of_a_newer_release_are_passed_over() -> None:
    assert backup_of(body(phase="Pending", later="yes")).status.phase == "Pending"


def test_a_status_of_another_release_is_reported_by_its_field() -> None:
    with pytest.raises(Unreadable, match=r"status\.phase is not of this operator's release"):
        backup_of(body(phase="Dreaming"))


def test_what_does_not_fit_in_a_spec_of_another_release_is_named() -> None:
    of_another = body()
    of_another["spec"]["storage"]["local"]["color"] = "red"  # type: ignore[index]
    run = backup_of(of_another)
    assert isinstance(run, UnreadableRun)
    assert run.fault.startswith("spec.storage.local.color does not fit this operator's release (")


@pytest.mark.parametrize(
    "stopped",
    [
        "{",
        '{"workloads": [], "user": 1, "serve_by": "0001-01-01T00:00:00"}',
        '{"workloads": [], "user": 1, "serve_by": 7e99}',
    ],
)
def test_a_record_of_stopped_workloads_that_cannot_be_read_is_ignored(stopped: str) -> None:
    """A time without a zone would make every scrape of the metrics fail."""
    body = {
        "metadata": {
            "namespace": "shop",
            "name": "lock",
            "resourceVersion": "1",
            "annotations": {labels.STOPPED: stopped},
        }
    }
    assert lease_of(body).stopped is None


def test_only_the_state_of_our_container_counts() -> None:
    """A service mesh may have added its own container before ours."""
    ours = {"name": "runner", "state": {"terminated": {"exitCode": 0, "message": "said"}}}
    theirs = {"name": "proxy", "state": {"running": {}}}
    seen = pod_of(
        {
            "metadata": {"name": "pod", "creationTimestamp": "2026-03-01T02:00:00Z"},
            "spec": {},
            "status": {"containerStatuses": [theirs, ours]},
        }
    )
    assert (seen.exit_code, seen.termination_message) == (0, "said")
