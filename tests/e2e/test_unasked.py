"""What nobody asked the author about is not run, and what lies between operator and runner is changed by nobody in vain."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.chart.rendering import CHART, OLDEST_KUBERNETES, helm, of_kind
from tests.e2e.backups import RUN, a_backup, condition, failed, furnish, pods, status
from tests.e2e.kubectl import Json, Namespace, Refused, kubectl
from tests.e2e.operators import OperatorProcess
from tests.e2e.waiting import eventually

BINDING = "validatingadmissionpolicybinding"
RIGHTS_GROUP = "rbac.authorization.k8s.io"


def grant(namespace: Namespace, user: str, *rules: Json) -> None:
    """A Role of the user's own with just these rights."""
    subject = {"apiGroup": RIGHTS_GROUP, "kind": "User", "name": user}
    role = {"apiGroup": RIGHTS_GROUP, "kind": "Role", "name": user}
    meta = {"name": user}
    namespace.apply(
        {"apiVersion": f"{RIGHTS_GROUP}/v1", "kind": "Role", "metadata": meta, "rules": list(rules)},
        {
            "apiVersion": f"{RIGHTS_GROUP}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": role,
            "subjects": [subject],
        },
    )


def right(group: str, resource: str, *verbs: str) -> Json:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


def refusal(do: Callable[[], object]) -> str:
    """What the cluster says, once it knows of the right to ask at all."""

    def answer() -> str | None:
        try:
            do()
        except Refused as no:
            return None if " cannot " in str(no) else str(no)
        raise AssertionError("it was not refused")

    return eventually(answer, "it is refused by a policy", 30)


def test_who_may_only_create_backups_is_refused_where_nobody_serves_them_yet(
    own_namespace: Callable[[str], Namespace],
) -> None:
    namespace = own_namespace("unserved")
    grant(namespace, "author", right("backup.quotenode.io", "quotenodebackups", "create"))
    body = json.dumps(a_backup("early"))
    said = refusal(lambda: namespace.kubectl("create", "--as=author", "--filename=-", stdin=body))
    assert "may not" in said
    assert namespace.get("quotenodebackup", "early") is None


def a_schedule(name: str) -> Json:
    return a_backup(name, schedule="0 2 * * *")


def policy_of(manifests: str) -> str:
    """Its name tells of its content, and so only the chart knows it."""
    (policy,) = of_kind(yaml.safe_load_all(manifests), "ValidatingAdmissionPolicy")
    return str(policy["metadata"]["name"])


@pytest.fixture
def release(own_namespace: Callable[[str], Namespace]) -> Iterator[tuple[Namespace, str, str]]:
    """A namespace with a backup and a schedule that are older than a release's policies, which are there now: their name, and their manifests."""
    namespace = own_namespace("older")
    namespace.apply(a_backup("first"), a_schedule("nightly"))
    shown = [flag for part in ("admission", "rbac-admission") for flag in ("--show-only", f"templates/{part}.yaml")]
    release, version = namespace.name[:40], ("--kube-version", OLDEST_KUBERNETES)
    manifests = helm("template", release, str(CHART), "-n", namespace.name, *version, *shown)
    kubectl("apply", "--filename=-", stdin=manifests)
    try:
        yield namespace, policy_of(manifests), manifests
    finally:
        kubectl("delete", "--wait=false", "--ignore-not-found", "--filename=-", stdin=manifests)


def test_what_is_older_than_the_policy_is_refused_until_somebody_was_asked(
    release: tuple[Namespace, str, str], tmp_path: Path
) -> None:
    namespace, policy, manifests = release
    with OperatorProcess(namespace.name, tmp_path / "log", QN_ADMISSION_POLICY=policy):
        failed(namespace, "first", "OlderThanPolicy", 60, "make it anew")
        assert not pods(namespace, "first")
        refused = eventually(lambda: accepted(namespace, "nightly", "False"), "the schedule is refused", 30)
        assert refused["reason"] == "OlderThanPolicy"

        uid = str((namespace.get(BINDING, policy) or {})["metadata"]["uid"])
        command = ["annotate", "qnb", "nightly", "--overwrite", f"backup.quotenode.io/approved={uid}"]
        assert " ".join(command[3:]) in refused["message"]
        grant(namespace, "editor", right("backup.quotenode.io", "quotenodebackups", "get", "patch"))
        assert "editor may not" in refusal(lambda: namespace.kubectl(*command, "--as=editor"))
        namespace.kubectl(*command)
        eventually(lambda: status(namespace, "nightly").get("phase") == "Scheduled", "it is approved", 30)

        namespace.kubectl("delete", BINDING, policy)
        namespace.apply(a_backup("meanwhile"))
        waits = lambda: status(namespace, "meanwhile").get("reason") == "PolicyNotEnforced"  # noqa: E731 - a question
        eventually(waits, "a backup waits while there is no policy", 30)
        assert status(namespace, "nightly")["phase"] == "Scheduled"
        kubectl("apply", "--filename=-", stdin=manifests)
        failed(namespace, "meanwhile", "OlderThanPolicy", 120)


def accepted(namespace: Namespace, name: str, word: str) -> Json | None:
    found = condition(status(namespace, name), "Accepted")
    return found if found.get("status") == word else None


@pytest.fixture(scope="module")
def meddled(own_namespace: Callable[[str], Namespace], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """A namespace with an operator of its own, and somebody who may patch pods and Jobs in it, and nothing else."""
    namespace = own_namespace("meddled")
    furnish(namespace)
    grant(
        namespace,
        "meddler",
        right("", "pods", "get", "list", "watch", "patch"),
        right("", "pods/ephemeralcontainers", "get", "patch"),
        right("batch", "jobs", "get", "list", "patch"),
    )
    with OperatorProcess(namespace.name, tmp_path_factory.mktemp("meddled") / "log"):
        yield namespace


def waiting_pod(namespace: Namespace, name: str) -> str:
    """The pod of a backup that no node takes, so that it is there to be meddled with. Of a database of its own: others need not wait for it."""
    chosen = {"database": {"name": name}, "storage": {"local": {"claimName": "bundles"}}, "files": None}
    namespace.apply(a_backup(name, **chosen, pod={"nodeSelector": {"nosuch": "label"}}))
    found = eventually(lambda: pods(namespace, name), f"{name} has a pod", 60)
    return str(found[0]["metadata"]["name"])


DEBUG_CONTAINER: Json = {
    "name": "look",
    "image": "mine",
    "command": ["sh"],
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}
"""One that Pod Security admits."""
HOSTILE = '{"host":"elsewhere"}'
PATCHES = {
    "the plan": ({"metadata": {"annotations": {"backup.quotenode.io/plan": HOSTILE}}}, "plan of a backup"),
    "a label": ({"metadata": {"labels": {RUN: "another"}}}, "labels that tie"),
    "the label of all": ({"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}, "labels that tie"),
    "the image": ({"spec": {"containers": [{"name": "runner", "image": "mine"}]}}, "image of a backup's pod"),
    "a container to look around": ({"spec": {"ephemeralContainers": [DEBUG_CONTAINER]}}, "debug container"),
}


@pytest.mark.parametrize("what", PATCHES)
def test_nobody_changes_the_pod_of_a_backup(meddled: Namespace, what: str) -> None:
    pod = waiting_pod(meddled, "waits")
    patch, words = PATCHES[what]
    subresource = ["--subresource=ephemeralcontainers"] if "ephemeral" in str(patch) else []
    kind = "strategic" if "containers" in str(patch).lower() else "merge"
    command = ["patch", "pod", pod, "--as=meddler", f"--type={kind}", *subresource, "--patch", json.dumps(patch)]
    assert words in refusal(lambda: meddled.kubectl(*command))


def test_a_pod_whose_plan_was_changed_all_the_same_does_nothing(meddled: Namespace) -> None:
    """As in a Job that somebody suspends as soon as it is there, changes and resumes, which no policy here keeps anybody from."""
    waiting_pod(meddled, "copied")
    (job,) = meddled.items("jobs", f"{RUN}=copied")
    template = job["spec"]["template"]
    text = json.loads(template["metadata"]["annotations"]["backup.quotenode.io/plan"])
    text["database"] |= {"host": "listener", "sslMode": "disable"}
    pod = {key: value for key, value in template["spec"].items() if key != "nodeSelector"}
    meddled.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "meddled", "annotations": {"backup.quotenode.io/plan": json.dumps(text)}},
            "spec": pod,
        }
    )
    told = eventually(lambda: termination_message(meddled, "meddled"), "the runner has ended", 90)
    assert told["reason"] == "PlanInvalid"
    assert "not the one that the operator wrote" in told["message"]


def termination_message(namespace: Namespace, pod: str) -> Json | None:
    body = namespace.get("pod", pod) or {}
    states = [one["state"] for one in body.get("status", {}).get("containerStatuses", [])]
    ended = next((state["terminated"] for state in states if "terminated" in state), None)
    return json.loads(ended["message"]) if ended else None
