"""The Job of an attempt: what the pod may do, what it mounts, and where it runs."""

from typing import Any

from quotenode_backup.api.backup_status import Destination
from quotenode_backup.api.run_status import Attempt
from quotenode_backup.contract.plans import BackupPlan, plan_digest
from quotenode_backup.manifests import labels
from quotenode_backup.manifests.backup_job import backup_job
from quotenode_backup.manifests.followup_job import removal_job
from quotenode_backup.manifests.placement import Placement
from quotenode_backup.manifests.pod import RunnerSettings
from quotenode_backup.reconcile.backup.plan import plan_of, removal_plan
from tests.unit.fakes.given import START, UID, run, spec

SETTINGS = RunnerSettings("image", "IfNotPresent", "default", "json")
FILES = [{"name": "a", "claimName": "files", "subPath": "a"}, {"name": "b", "claimName": "files", "subPath": "b"}]


def made(placement: Placement | None = None, seconds_left: int = 1800, **changes: Any) -> Any:
    chosen = spec(**changes)
    plan = plan_of(run(spec=chosen), Attempt(number=1, job_name="j", start_time=START))
    placement = placement or Placement(user=1000, node=None)
    return backup_job(plan, chosen.database, chosen.pod, placement, SETTINGS, seconds_left)


def pod_of(job: Any) -> Any:
    return job["spec"]["template"]["spec"]


def test_the_pod_passes_pod_security_restricted() -> None:
    pod = pod_of(made())
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 1000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {key for volume in pod["volumes"] for key in volume} == {
        "name", "downwardAPI", "secret", "persistentVolumeClaim", "emptyDir",
    }  # fmt: skip


def test_the_pod_has_no_token_and_no_service_environment_variables() -> None:
    pod = pod_of(made())
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)


def test_a_job_is_one_try_of_one_pod_and_has_no_time_to_live_yet() -> None:
    job = made()
    assert (job["spec"]["backoffLimit"], job["spec"]["podReplacementPolicy"]) == (0, "Failed")
    assert "ttlSecondsAfterFinished" not in job["spec"]
    assert job["metadata"]["ownerReferences"][0]["uid"] == UID


def test_a_claim_is_one_volume_however_often_it_is_mounted() -> None:
    pod = pod_of(made(files=FILES))
    claims = [
        volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume
    ]
    assert claims == ["files", "bundles"]
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["/source/0"]["name"] == mounts["/source/1"]["name"]
    assert mounts["/source/0"]["readOnly"]
    assert "readOnly" not in mounts["/destination"]


def test_bundles_beside_the_files_leave_the_files_read_only() -> None:
    mounts = pod_of(made(files=FILES, storage={"local": {"claimName": "files", "subPath": "c"}}))["containers"][0]
    writable = [mount["mountPath"] for mount in mounts["volumeMounts"] if not mount.get("readOnly")]
    assert sorted(writable) == ["/destination", "/run/quotenode"]


def claim_volumes(pod: Any) -> dict[str, bool]:
    """For each claim, whether its volume is read-only as a whole."""
    volumes = [one["persistentVolumeClaim"] for one in pod["volumes"] if "persistentVolumeClaim" in one]
    return {one["claimName"]: one.get("readOnly", False) for one in volumes}


def test_the_kubelet_gets_claims_that_are_only_read_as_read_only_volumes() -> None:
    """Otherwise it would change every file on them to `pod.fsGroup`, or relabel it, while the application uses them."""
    pod = pod_of(made(files=FILES, pod={"fsGroup": 33}))
    assert claim_volumes(pod) == {"files": True, "bundles": False}
    assert pod["securityContext"]["fsGroup"] == 33


def test_a_claim_that_holds_files_and_bundles_is_never_given_to_a_group() -> None:
    pod = pod_of(
        made(files=FILES, pod={"fsGroup": 33}, storage={"local": {"claimName": "files", "subPath": "bundles"}})
    )
    assert claim_volumes(pod) == {"files": False}
    context = pod["securityContext"]
    assert "fsGroup" not in context
    assert (context["runAsGroup"], context["supplementalGroups"]) == (33, [33])


def test_removing_a_bundle_gives_nothing_on_its_claim_to_a_group() -> None:
    chosen = spec(pod={"fsGroup": 33})
    bundle = Destination(type="Local", claim_name="files", path="a/bundle.tar.gz", user_id=1000)
    plan = removal_plan(run(spec=chosen), bundle, 1, START)
    pod = pod_of(removal_job(plan, chosen.pod, Placement(user=1000, node=None), SETTINGS))
    assert "fsGroup" not in pod["securityContext"]
    assert pod["securityContext"]["supplementalGroups"] == [33]


def test_the_plan_is_in_the_annotation_to_the_letter() -> None:
    text = made(files=FILES)["spec"]["template"]["metadata"]["annotations"][labels.PLAN]
    assert BackupPlan.model_validate_json(text).files[1].sub_path == "b"


def test_the_plan_can_not_be_changed_without_its_checksum() -> None:
    template = made(files=FILES)["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["args"] == ["backup", plan_digest(template["metadata"]["annotations"][labels.PLAN].encode())]


def test_the_pod_is_pinned_by_affinity_so_that_the_scheduler_still_binds_claims() -> None:
    pod = pod_of(made(Placement(user=1, node="worker", tolerations=({"key": "disk"},))))
    assert "nodeName" not in pod
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["worker"]}]}
    assert pod["tolerations"] == [{"key": "disk"}]


def test_secrets_are_files_that_may_be_missing_and_never_environment() -> None:
    pod = pod_of(made())
    assert [volume["secret"]["optional"] for volume in pod["volumes"] if "secret" in volume] == [True]
    assert {entry["name"] for entry in pod["containers"][0]["env"]} == {
        "POD_UID",
        "POD_NAME",
        "QN_LOG_FORMAT",
        "QN_LOG_LEVEL",
    }


def test_a_users_label_never_replaces_ours() -> None:
    job = made(pod={"labels": {labels.RUN_UID: "mine", "team": "shop"}})
    assert job["spec"]["template"]["metadata"]["labels"][labels.RUN_UID] == UID
    assert job["spec"]["template"]["metadata"]["labels"]["team"] == "shop"


def test_a_group_is_set_only_when_asked_for_and_then_on_mismatch() -> None:
    assert "fsGroup" not in pod_of(made())["securityContext"]
    chosen = pod_of(made(pod={"fsGroup": 33}))["securityContext"]
    assert (chosen["fsGroup"], chosen["fsGroupChangePolicy"]) == (33, "OnRootMismatch")


def test_a_job_that_is_late_still_has_a_second() -> None:
    assert made(seconds_left=-5)["spec"]["activeDeadlineSeconds"] == 1
