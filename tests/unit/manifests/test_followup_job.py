"""The small Jobs that follow a run."""

from quotenode_backup.api.pod import Pod
from quotenode_backup.manifests.followup_job import search_job
from quotenode_backup.manifests.placement import Placement
from quotenode_backup.manifests.pod import RunnerSettings
from quotenode_backup.reconcile.backup.plan import search_plan
from tests.unit.fakes.given import START, mark, run


def test_a_job_that_looks_for_a_bundle_cannot_change_its_claim() -> None:
    """The volume is read-only for the whole pod, so that the kubelet keeps owners and modes, whatever fsGroup is."""
    bundle = mark().bundle
    assert bundle
    settings = RunnerSettings("image", "IfNotPresent", "default", "json")
    job = search_job(search_plan(run(), bundle, 1, START), Pod(fs_group=1000), Placement(1000, None), settings)
    pod = job["spec"]["template"]["spec"]
    [volume] = [one for one in pod["volumes"] if "persistentVolumeClaim" in one]
    [mount] = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == volume["name"]]
    assert volume["persistentVolumeClaim"] == {"claimName": "bundles", "readOnly": True}
    assert (mount["readOnly"], pod["containers"][0]["args"][0]) == (True, "find")
