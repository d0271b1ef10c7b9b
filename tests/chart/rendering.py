"""Render the chart as a release would, and pick from what comes out."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "quotenode-backup-operator"
RELEASE = "quotenode-backup-operator"
NAMESPACE = "quotenode-system"
OLDEST_KUBERNETES = "1.30.0"

Manifest = dict[str, Any]
Rule = tuple[str, str, str]  # API group, resource, verb


class HelmRefused(Exception):
    """What helm printed when it would not render."""


def helm(*arguments: str) -> str:
    program = shutil.which("helm")
    if program is None:
        raise HelmRefused("helm is not in PATH: `make cluster` puts one into the cache folder")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise HelmRefused(done.stderr + done.stdout)
    return done.stdout


@functools.cache
def _rendered(sets: tuple[str, ...], release: str, chart: Path) -> str:
    flags = [flag for assignment in sets for flag in ("--set-json", assignment)]
    target = ["--namespace", NAMESPACE, "--kube-version", OLDEST_KUBERNETES]
    return helm("template", release, str(chart), *target, *flags)


def render(*sets: str, release: str = RELEASE, chart: Path = CHART) -> list[Manifest]:
    """Every object of a release with these values, each `path=json`."""
    return [doc for doc in yaml.safe_load_all(_rendered(sets, release, chart)) if doc]


def of_kind(objects: Iterable[Manifest], kind: str) -> list[Manifest]:
    return [found for found in objects if found["kind"] == kind]


def the(objects: Iterable[Manifest], kind: str) -> Manifest:
    (found,) = of_kind(objects, kind)
    return found


def main_policy(objects: Iterable[Manifest], kind: str, plural: str = "quotenodebackups") -> Manifest:
    """The policy that asks about the references of one of our kinds, or its binding."""
    asking = [one for one in of_kind(objects, kind) if not one["metadata"]["name"].endswith((".labels", ".pods"))]
    (found,) = (one for one in asking if (".restores." in one["metadata"]["name"]) == (plural == "quotenoderestores"))
    return found


def rules_of(role: Manifest) -> set[Rule]:
    """Each right of a Role or ClusterRole on its own."""
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def operator_roles(objects: Iterable[Manifest]) -> list[Manifest]:
    """The roles bound to the operator's ServiceAccount for its work, one for each binding."""
    objects = list(objects)
    return [_role_of(binding, objects) for binding in _operator_bindings(objects) if not _is_beside_its_work(binding)]


def letting_go(objects: Iterable[Manifest]) -> list[Manifest]:
    """The role, bound to the operator's ServiceAccount, that takes its finalizer off in a namespace that is going away."""
    objects = list(objects)
    return [_role_of(binding, objects) for binding in _operator_bindings(objects) if _is_to_let_go(binding)]


def _is_to_let_go(binding: Manifest) -> bool:
    return str(binding["metadata"]["name"]).endswith(".namespaces")


def _is_beside_its_work(binding: Manifest) -> bool:
    return _is_to_let_go(binding) or str(binding["metadata"]["name"]).endswith(".admission")


def operator_rules(*sets: str) -> set[Rule]:
    """All that the operator of a release with these values may do, wherever it may do it."""
    return set().union(*(rules_of(role) for role in operator_roles(render(*sets))))


def _operator_bindings(objects: list[Manifest]) -> Iterator[Manifest]:
    account = the(objects, "ServiceAccount")["metadata"]
    subject = {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    bindings = of_kind(objects, "RoleBinding") + of_kind(objects, "ClusterRoleBinding")
    return (binding for binding in bindings if subject in binding["subjects"])


def _role_of(binding: Manifest, objects: list[Manifest]) -> Manifest:
    kind, name = binding["roleRef"]["kind"], binding["roleRef"]["name"]
    namespace = binding["metadata"].get("namespace") if kind == "Role" else None
    (role,) = (
        role
        for role in of_kind(objects, kind)
        if role["metadata"]["name"] == name and role["metadata"].get("namespace") == namespace
    )
    return role
