"""The admission policy for restores on a real API server.

Each requester may do everything but one thing. Writes are dry runs, which admission sees like any other.
"""

from __future__ import annotations

import copy
import json
import secrets
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.rendering import CHART, OLDEST_KUBERNETES, helm
from tests.e2e.test_admission import apply, done, kubectl
from tests.e2e.waiting import eventually

Json = dict[str, Any]
RIGHTS_GROUP = "rbac.authorization.k8s.io"
CLAIMS = [f"files-{index}" for index in range(8)]
WORKLOADS = [("StatefulSet" if index % 2 else "Deployment", f"workload-{index}") for index in range(8)]
# The field of the spec, the kind and the name of what it names.
REFERENCES = [
    ("database.credentialsSecretRef.name", "Secret", "owner"),
    ("database.adminCredentialsSecretRef.name", "Secret", "admin"),
    ("database.caSecretRef.name", "Secret", "authority"),
    ("database.claimName", "PersistentVolumeClaim", "data"),
    ("source.archive.claimName", "PersistentVolumeClaim", "bundles"),
    *((f"files[{index}].claimName", "PersistentVolumeClaim", claim) for index, claim in enumerate(CLAIMS)),
]
SCALED = [(f"application.workloads[{index}]", kind, name) for index, (kind, name) in enumerate(WORKLOADS)]
NAMED = frozenset(name for _, _, name in [*REFERENCES, *SCALED]) | {"pods"}
GROUPS = {"Secret": "", "PersistentVolumeClaim": "", "Deployment": "apps", "StatefulSet": "apps"}
RESOURCES = {
    "Secret": "secrets",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Deployment": "deployments/scale",
    "StatefulSet": "statefulsets/scale",
}
ANY = frozenset({"pods", *RESOURCES})
"""The rights to all of a kind, without a name."""


def restore(spec: Json) -> Json:
    return {
        "apiVersion": "backup.quotenode.io/v1beta1",
        "kind": "QuoteNodeRestore",
        "metadata": {"name": "again"},
        "spec": spec,
    }


LARGEST: Json = {
    "source": {"archive": {"claimName": "bundles", "path": "p" * 1024}, "sha256": "a" * 64},
    "components": ["Database", "Files"],
    "database": {
        "host": "db.invalid",
        "name": "n" * 63,
        "credentialsSecretRef": {"name": "owner"},
        "adminCredentialsSecretRef": {"name": "admin"},
        "caSecretRef": {"name": "authority"},
        "claimName": "data",
    },
    "files": [{"name": claim, "claimName": claim, "subPath": "s" * 255} for claim in CLAIMS],
    "application": {"workloads": [{"kind": kind, "name": name} for kind, name in WORKLOADS]},
}
"""It names as much as a restore can, and so costs the policy most."""
SHORTEST: Json = {"source": {"backupName": "first"}}


def without(*fields: str, **others: Any) -> Json:
    spec = copy.deepcopy(LARGEST) | others
    return {key: value for key, value in spec.items() if key not in fields}


def rules(granted: frozenset[str]) -> list[Json]:
    """Every right on restores; and what is granted: something by its name, or all of a kind."""
    kinds = {name: kind for _, kind, name in [*REFERENCES, *SCALED]}
    found: list[Json] = [{"apiGroups": ["backup.quotenode.io"], "resources": ["quotenoderestores"], "verbs": ["*"]}]
    for one in sorted(granted):
        kind = kinds.get(one, one)
        resource = RESOURCES.get(kind, kind)
        verb = "create" if kind == "pods" else "patch" if resource.endswith("/scale") else "get"
        rule: Json = {"apiGroups": [GROUPS.get(kind, "")], "resources": [resource], "verbs": [verb]}
        found.append(rule | ({"resourceNames": [one]} if one in kinds else {}))
    return found


def grant(namespace: str, user: str, granted: frozenset[str]) -> None:
    meta = {"name": user, "namespace": namespace}
    subject = {"apiGroup": RIGHTS_GROUP, "kind": "User", "name": user}
    role = {"apiGroup": RIGHTS_GROUP, "kind": "Role", "name": user}
    version = f"{RIGHTS_GROUP}/v1"
    apply(
        {"apiVersion": version, "kind": "Role", "metadata": meta, "rules": rules(granted)},
        {"apiVersion": version, "kind": "RoleBinding", "metadata": meta, "roleRef": role, "subjects": [subject]},
    )


def write(namespace: str, user: str, spec: Json) -> subprocess.CompletedProcess[str]:
    command = ("create", f"--as={user}", "--dry-run=server", "-n", namespace, "-f", "-")

    def answered() -> subprocess.CompletedProcess[str] | None:
        said = kubectl(*command, stdin=json.dumps(restore(spec)))
        return None if "cannot create resource" in said.stderr else said

    return eventually(answered, f"{user} may create a restore", 30)


@pytest.fixture(scope="module")
def namespace(operator: None) -> Iterator[str]:
    """A namespace with the policy of a release of its own. The installed release brings the CRD."""
    name = f"restoring-{secrets.token_hex(4)}"
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    flags = ("--kube-version", OLDEST_KUBERNETES, "--show-only", "templates/admission-restores.yaml")
    release = helm("template", name, str(CHART), "-n", name, *flags)
    done(kubectl("apply", "-f", "-", stdin=release))
    try:
        grant(name, "nobody", frozenset())
        eventually(lambda: "denied request" in write(name, "nobody", SHORTEST).stderr, "the policy is enforced", 60)
        yield name
    finally:
        done(kubectl("delete", "--wait=false", "--ignore-not-found", "-f", "-", stdin=release))
        done(kubectl("delete", "--wait=false", "namespace", name))


def test_the_largest_restore_is_admitted_with_rights_to_just_what_it_names(namespace: str) -> None:
    """All that can be asked of one restore is within the cost that the API server allows."""
    grant(namespace, "narrow", NAMED)
    done(write(namespace, "narrow", LARGEST))


def test_the_largest_restore_of_a_backup_is_admitted_too(namespace: str) -> None:
    grant(namespace, "wide", NAMED | {"PersistentVolumeClaim"})
    done(write(namespace, "wide", without(source={"backupName": "first"})))


@pytest.mark.parametrize(("field", "kind", "name"), REFERENCES, ids=[field for field, _, _ in REFERENCES])
def test_who_may_not_read_one_thing_is_refused(namespace: str, field: str, kind: str, name: str) -> None:
    user = f"without-{name}"
    grant(namespace, user, NAMED - {name})
    assert (
        f"denied request: spec.{field}: {user} may not get {kind} {name} in namespace {namespace}. "
        "Name another, or ask for a Role that allows it."
    ) in write(namespace, user, LARGEST).stderr


@pytest.mark.parametrize(("field", "kind", "name"), SCALED, ids=[field for field, _, _ in SCALED])
def test_who_may_not_scale_one_workload_is_refused(namespace: str, field: str, kind: str, name: str) -> None:
    user = f"without-{name}"
    grant(namespace, user, NAMED - {name})
    assert (
        f"denied request: spec.{field}: {user} may not patch the scale of {kind} {name} in namespace {namespace}. "
        "Name another, or ask for a Role that allows it."
    ) in write(namespace, user, LARGEST).stderr


def test_who_may_not_create_pods_is_refused(namespace: str) -> None:
    grant(namespace, "without-pods", NAMED - {"pods"})
    words = f"without-pods may not create pods in namespace {namespace}, and a restore runs in one."
    assert words in write(namespace, "without-pods", LARGEST).stderr


@pytest.mark.parametrize("source", [{"backupName": "first"}, {"undoOf": "earlier"}], ids=["backup", "undo"])
def test_who_takes_everything_over_needs_a_right_to_all_of_each_kind(namespace: str, source: Json) -> None:
    spec = {"source": source}
    grant(namespace, "with-all", ANY)
    done(write(namespace, "with-all", spec))
    for kind in RESOURCES:
        user = f"without-any-{kind.lower()}"
        grant(namespace, user, ANY - {kind} | NAMED)
        said = write(namespace, user, spec).stderr
        verb = "patch the scale of" if "scale" in RESOURCES[kind] else "get"
        assert f"{user} may not {verb} every {kind} in namespace {namespace}, and a restore without spec." in said


@pytest.mark.parametrize(
    ("spec", "needed"),
    [
        (without("components", "files", source={"backupName": "first"}), "PersistentVolumeClaim"),
        (without("database", source={"backupName": "first"}), "Secret"),
        (without("application", source={"backupName": "first"}), "StatefulSet"),
        (without(source={"backupName": "first"}, application={"healthCheck": {"url": "http://a/"}}), "Deployment"),
    ],
    ids=["files", "database", "application", "workloads"],
)
def test_a_part_that_is_taken_over_needs_the_right_to_all_of_its_kind(namespace: str, spec: Json, needed: str) -> None:
    """The bundle's claim is taken over too, of whatever backup."""
    grant(namespace, f"all-but-{needed.lower()}", NAMED | ANY - {needed})
    assert f"may not {'patch the scale of' if needed in ('StatefulSet', 'Deployment') else 'get'} every {needed}" in (
        write(namespace, f"all-but-{needed.lower()}", spec).stderr
    )


def test_an_archive_takes_nothing_over(namespace: str) -> None:
    grant(namespace, "archivist", frozenset({"pods", "owner", "bundles"}))
    database = {key: LARGEST["database"][key] for key in ("host", "name", "credentialsSecretRef")}
    done(write(namespace, "archivist", {"source": {"archive": {"claimName": "bundles"}}, "database": database}))
