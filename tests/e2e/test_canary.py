"""A password that nobody must ever see again: planted in the Secret, and looked for everywhere while and after it is used."""

import json
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.backups import RUN, a_backup, completed, running_pod
from tests.e2e.claims import run_on
from tests.e2e.held import dump_held
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.nodes import on_node
from tests.e2e.operators import OperatorProcess
from tests.e2e.standin.quotenode import QuoteNode

CANARY = f"canary-{secrets.token_hex(12)}"
KINDS = "quotenodebackups,jobs,pods,events.events.k8s.io,leases,configmaps,persistentvolumeclaims,replicasets"


@pytest.fixture(scope="module")
def namespace(own_namespace: Callable[[str], Namespace]) -> Namespace:
    return own_namespace("canary")


@pytest.fixture(scope="module")
def quotenode(namespace: Namespace, deploy: Callable[[Namespace], QuoteNode]) -> QuoteNode:
    quotenode = deploy(namespace)
    quotenode.psql(f"CREATE ROLE canary LOGIN PASSWORD '{CANARY}'; GRANT quotenode TO canary")
    secret: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "canary"}}
    namespace.apply(secret | {"stringData": {"username": "canary", "password": CANARY}})
    return quotenode


def test_the_password_is_in_no_object_log_argument_or_environment(
    namespace: Namespace, quotenode: QuoteNode, tmp_path: Path
) -> None:
    with OperatorProcess(namespace.name, tmp_path / "operator.log") as operator:
        backup = a_backup("canary", database={"credentialsSecretRef": {"name": "canary"}})
        with dump_held(namespace, quotenode, backup):
            processes = seen_in_processes(running_pod(namespace, "canary"))
        status = completed(namespace, "canary")
        runner_log = namespace.kubectl("logs", f"--selector={RUN}=canary", "--tail=-1")

    assert len(status["attempts"]) == 1
    assert "pg_dump" in processes, "the dump was not looked at: this shows nothing"
    assert CANARY not in processes
    assert CANARY not in runner_log
    assert CANARY not in operator.log
    assert CANARY not in json.dumps(status)
    assert CANARY not in namespace.kubectl("get", KINDS, "--output=json", "--show-managed-fields")
    assert CANARY not in members_in_words(namespace)


def seen_in_processes(pod: Json) -> str:
    """Arguments and environments of every process of the pod, as root on its node sees them."""
    uid = pod["metadata"]["uid"]
    script = (
        "set +e; "  # processes end while they are looked at
        f"for process in $(grep -lsE '{uid}|{uid.replace('-', '_')}' /proc/[0-9]*/cgroup); do"
        ' folder=$(dirname $process); tr "\\0" "\\n" < $folder/cmdline; tr "\\0" "\\n" < $folder/environ; done; true'
    )
    return on_node(script, pod["spec"]["nodeName"])


def members_in_words(namespace: Namespace) -> str:
    """All that stands on the claim as text."""
    return run_on(
        namespace, "quotenode-backups", "cat */*.manifest.json; for b in */*.tar.gz; do tar xzOf $b manifest.json; done"
    )
