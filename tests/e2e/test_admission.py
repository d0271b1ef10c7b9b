"""The admission policy on a real API server, and what the operator's own ServiceAccount may not do.

Each requester may do everything but one thing. Writes are dry runs, which admission sees like any other.
"""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import CHART, OLDEST_KUBERNETES, helm
from tests.e2e.waiting import eventually

CLAIMS = [f"files-{index}" for index in range(8)]
KINDS = {"Secret": "secrets", "PersistentVolumeClaim": "persistentvolumeclaims"}
# The field of the spec, the kind and the name of what it names.
REFERENCES = [
    ("database.credentialsSecretRef.name", "Secret", "login"),
    ("database.caSecretRef.name", "Secret", "authority"),
    *((f"files[{index}].claimName", "PersistentVolumeClaim", claim) for index, claim in enumerate(CLAIMS)),
    ("storage.local.claimName", "PersistentVolumeClaim", "bundles"),
]
WORKLOADS = [("StatefulSet" if index % 2 else "Deployment", f"workload-{index}") for index in range(8)]
SCALED = [(f"application.workloads[{index}]", kind, name) for index, (kind, name) in enumerate(WORKLOADS)]
EVERYTHING = frozenset(name for _, _, name in [*REFERENCES, *SCALED]) | {"pods"}


def backup(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "backup.quotenode.io/v1beta1",
        "kind": "QuoteNodeBackup",
        "metadata": {"name": "night", "namespace": namespace},
        "spec": {
            "database": {
                "host": "db.invalid",
                "name": "quotenode",
                "credentialsSecretRef": {"name": "login"},
                "caSecretRef": {"name": "authority"},
            },
            "files": [{"name": claim, "claimName": claim} for claim in CLAIMS],
            "storage": {"local": {"claimName": "bundles"}},
            "application": {"workloads": [{"kind": kind, "name": name} for kind, name in WORKLOADS]},
        },
    }


def kubectl(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = ["kubectl", "--request-timeout=30s", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def done(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def apply(*objects: object) -> None:
    done(
        kubectl(
            "apply",
            "--server-side",
            "-f",
            "-",
            stdin=json.dumps({"kind": "List", "apiVersion": "v1", "items": objects}),
        )
    )


def rules(granted: frozenset[str]) -> list[dict[str, Any]]:
    """Every right on backups, `get` on exactly these Secrets and claims, and `patch` of the scale of these workloads."""
    ours = {
        "apiGroups": ["backup.quotenode.io"],
        "resources": ["quotenodebackups", "quotenodebackups/status"],
        "verbs": ["*"],
    }
    pods = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}] if "pods" in granted else []
    named = [
        {"apiGroups": [""], "resources": [KINDS[kind]], "resourceNames": [name], "verbs": ["get"]}
        for _, kind, name in REFERENCES
        if name in granted
    ]
    scaled = [
        {
            "apiGroups": ["apps"],
            "resources": [f"{kind.lower()}s/scale"],
            "resourceNames": [name],
            "verbs": ["patch"],
        }
        for kind, name in WORKLOADS
        if name in granted
    ]
    return [ours, *pods, *named, *scaled]


def grant(namespace: str, user: str, granted: frozenset[str]) -> None:
    metadata = {"name": user, "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    apply(
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": rules(granted)},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": user},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
        },
    )


def write(namespace: str, user: str, body: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Each user may create backups: the API server needs a moment to see that it was granted."""
    as_user = ("create", f"--as={user}", "--dry-run=server", "-f", "-")

    def answered() -> subprocess.CompletedProcess[str] | None:
        said = kubectl(*as_user, stdin=json.dumps(body or backup(namespace)))
        return None if "cannot create resource" in said.stderr else said

    return eventually(answered, f"{user} may create a backup", 30)


def wait_for_the_policy(namespace: str) -> None:
    """The API server takes up a new policy within seconds, not at once."""
    grant(namespace, "nobody", frozenset())
    eventually(lambda: "denied request" in write(namespace, "nobody").stderr, "the policy is enforced", 60)


@pytest.fixture(scope="module")
def namespace(operator: None) -> Iterator[str]:
    """A namespace with the rights and the policy of a release of its own, without its operator. The installed one brings the CRD."""
    name = f"admission-{secrets.token_hex(4)}"
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    parts = ("serviceaccount", "rbac-operator", "admission", "admission-labels")
    shown = [flag for part in parts for flag in ("--show-only", f"templates/{part}.yaml")]
    release = helm("template", name, str(CHART), "-n", name, "--kube-version", OLDEST_KUBERNETES, *shown)
    done(kubectl("apply", "-f", "-", stdin=release))
    try:
        wait_for_the_policy(name)
        yield name
    finally:
        done(kubectl("delete", "--wait=false", "--ignore-not-found", "-f", "-", stdin=release))
        done(kubectl("delete", "--wait=false", "namespace", name))


@pytest.fixture(scope="module")
def account(namespace: str) -> str:
    return f"system:serviceaccount:{namespace}:{namespace}-quotenode-backup-operator"


def test_who_may_read_all_of_it_may_write_the_backup(namespace: str) -> None:
    grant(namespace, "trusted", EVERYTHING)
    done(write(namespace, "trusted"))


@pytest.mark.parametrize(("field", "kind", "name"), REFERENCES, ids=[field for field, _, _ in REFERENCES])
def test_who_may_not_read_one_thing_is_refused(namespace: str, field: str, kind: str, name: str) -> None:
    user = f"without-{name}"
    grant(namespace, user, EVERYTHING - {name})
    refused = write(namespace, user)
    assert refused.returncode != 0
    assert (
        f"denied request: spec.{field}: {user} may not get {kind} {name} in namespace {namespace}. "
        "Name another, or ask for a Role that allows it."
    ) in refused.stderr


@pytest.mark.parametrize(("field", "kind", "name"), SCALED, ids=[field for field, _, _ in SCALED])
def test_who_may_not_scale_one_workload_is_refused(namespace: str, field: str, kind: str, name: str) -> None:
    user = f"without-{name}"
    grant(namespace, user, EVERYTHING - {name})
    assert (
        f"denied request: spec.{field}: {user} may not patch the scale of {kind} {name} in namespace {namespace}. "
        "Name another, or ask for a Role that allows it."
    ) in write(namespace, user).stderr


def test_nobody_makes_himself_the_run_of_a_schedule(namespace: str) -> None:
    """Unless he may write statuses, where he could say the same."""
    label = "backup.quotenode.io/schedule-uid"
    forged = backup(namespace)
    forged["metadata"]["labels"] = {label: "1234"}
    grant(namespace, "forger", EVERYTHING)
    done(write(namespace, "forger", forged))
    less = '[{"op": "replace", "path": "/rules/0/resources", "value": ["quotenodebackups"]}]'
    done(kubectl("patch", "role", "forger", "-n", namespace, "--type=json", "-p", less))
    words = f"Label {label} is the operator's"
    eventually(lambda: words in write(namespace, "forger", forged).stderr, "the label is refused", 30)
    done(write(namespace, "forger"))


@pytest.mark.parametrize("annotation", ["backup.quotenode.io/finished", "backup.quotenode.io/last-trigger"])
def test_nobody_says_what_was_before_but_everybody_may_leave_it_out(namespace: str, annotation: str) -> None:
    """Unless he may write statuses, as whoever restores a namespace may."""
    user, name = f"teller-of-{annotation.rpartition('/')[2]}", f"told-{annotation.rpartition('/')[2]}"
    told = backup(namespace)
    told["metadata"] |= {"name": name, "annotations": {annotation: "{}"}}
    grant(namespace, user, EVERYTHING)
    done(write(namespace, user, told))
    apply(told)
    less = '[{"op": "replace", "path": "/rules/0/resources", "value": ["quotenodebackups"]}]'
    done(kubectl("patch", "role", user, "-n", namespace, "--type=json", "-p", less))
    another = told | {"metadata": told["metadata"] | {"name": f"{name}-anew"}}
    words = f"Annotation {annotation} is the operator's and says"
    eventually(lambda: words in write(namespace, user, another).stderr, "the annotation is refused", 30)

    patch = (
        "patch",
        "quotenodebackup",
        name,
        "-n",
        namespace,
        "--type=merge",
        f"--as={user}",
        "--dry-run=server",
        "-p",
    )
    done(kubectl(*patch, '{"metadata":{"labels":{"seen":"yes"}}}'))
    changed = kubectl(*patch, json.dumps({"metadata": {"annotations": {annotation: "other"}}}))
    assert words in changed.stderr
    done(kubectl(*patch, json.dumps({"metadata": {"annotations": {annotation: None}}})))
    replace = ("replace", f"--as={user}", "--dry-run=server", "-f", "-")
    plain = backup(namespace) | {"metadata": {"name": name, "namespace": namespace}}
    done(kubectl(*replace, stdin=json.dumps(plain)))


def test_who_may_not_create_pods_is_refused(namespace: str) -> None:
    grant(namespace, "without-pods", EVERYTHING - {"pods"})
    assert (
        f"denied request: without-pods may not create pods in namespace {namespace}, and a backup runs in one. "
        "Ask for a Role that allows it."
    ) in write(namespace, "without-pods").stderr


def test_the_operator_itself_is_not_asked(namespace: str, account: str) -> None:
    """Neither by its own policy nor by those of other releases, which hold here too."""
    grant(namespace, account, frozenset())
    assert "ValidatingAdmissionPolicy" not in write(namespace, account).stderr


def test_every_right_on_our_resources_exempts_nobody(namespace: str) -> None:
    grant(namespace, "with-all-of-ours", frozenset())
    everything = {"apiGroups": ["backup.quotenode.io"], "resources": ["*"], "verbs": ["*"]}
    metadata = {"name": "with-all-of-ours", "namespace": namespace}
    apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": [everything]})
    assert "denied request" in write(namespace, "with-all-of-ours").stderr


def test_a_write_that_leaves_the_spec_alone_is_not_asked_about(namespace: str) -> None:
    apply(backup(namespace))
    patch = ("patch", "quotenodebackup", "night", "-n", namespace, "--type=merge", "--as=nobody", "-p")
    done(kubectl(*patch, '{"metadata":{"labels":{"seen":"yes"}}}'))
    done(kubectl(*patch, '{"status":{"phase":"Pending"}}', "--subresource=status"))


@pytest.mark.parametrize("resource", ["secrets", "configmaps", "pods/exec", "pods/log"])
@pytest.mark.parametrize("verb", ["get", "list", "watch", "create"])
def test_the_operator_may_not(namespace: str, account: str, verb: str, resource: str) -> None:
    kind, _, subresource = resource.partition("/")
    question = ("auth", "can-i", verb, kind, f"--subresource={subresource}", "-n", namespace)
    assert kubectl(*question, f"--as={account}").stdout.strip() == "no"


def test_the_operators_own_token_reads_no_secret(namespace: str, account: str, tmp_path: Path) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login", "namespace": namespace}}
    apply(secret | {"stringData": {"password": "never-read"}})
    name = account.rpartition(":")[2]
    config = json.loads(done(kubectl("config", "view", "--raw", "--minify", "--output=json")))
    config["users"][0]["user"] = {"token": done(kubectl("create", "token", name, "-n", namespace)).strip()}
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    for asked in (["secret", "login"], ["secrets"]):
        refused = kubectl(f"--kubeconfig={path}", "get", *asked, "-n", namespace)
        assert refused.returncode != 0
        assert "(Forbidden)" in refused.stderr
        assert f'User "{account}" cannot' in refused.stderr
