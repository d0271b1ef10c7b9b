"""How the operator starts, or says why not, and how it stands a pause of the API server."""

import json
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from quotenode_backup.cluster.permissions import NEEDED
from tests.e2e.kubectl import Json, Namespace, kubectl
from tests.e2e.operators import OperatorProcess
from tests.e2e.waiting import eventually

GROUP = "rbac.authorization.k8s.io"
ALL = [
    {"apiGroups": [group], "resources": [resource], "verbs": sorted(verbs)}
    for (group, resource), verbs in NEEDED.items()
]
ALL_BUT_ONE = [
    rule | {"verbs": [verb for verb in rule["verbs"] if (rule["resources"], verb) != (["jobs"], "patch")]}
    for rule in ALL
]


@pytest.fixture(scope="module")
def namespace(own_namespace: Callable[[str], Namespace]) -> Namespace:
    return own_namespace("start")


def our_kubeconfig() -> Json:
    found: Json = json.loads(kubectl("config", "view", "--raw", "--minify", "--output=json"))
    return found


def written(folder: Path, config: Json) -> str:
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return str(path)


def grant(where: Namespace, rules: list[Json], *, to: str, of: Namespace) -> None:
    """These rights in a namespace, to a ServiceAccount of perhaps another."""
    of.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": to}})
    where.apply(
        {"apiVersion": f"{GROUP}/v1", "kind": "Role", "metadata": {"name": to}, "rules": rules},
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": to},
            "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": to},
            "subjects": [{"kind": "ServiceAccount", "name": to, "namespace": of.name}],
        },
    )


def kubeconfig_of(namespace: Namespace, account: str, folder: Path) -> str:
    config = our_kubeconfig()
    config["users"][0]["user"] = {"token": namespace.kubectl("create", "token", account).strip()}
    return written(folder, config)


def test_a_namespace_without_the_rights_is_left_out_until_it_has_them(
    namespace: Namespace, own_namespace: Callable[[str], Namespace], tmp_path: Path
) -> None:
    other = own_namespace("start-other")
    grant(namespace, ALL, to="partial", of=namespace)
    grant(other, ALL_BUT_ONE, to="partial", of=namespace)
    kubeconfig = kubeconfig_of(namespace, "partial", tmp_path)
    both = f"{namespace.name},{other.name}"
    with OperatorProcess(both, tmp_path / "log", KUBECONFIG=kubeconfig, QN_RESYNC_SECONDS="5") as operator:
        operator.said(f"Watching {namespace.name} as")
        assert f"Not served, the operator's ServiceAccount may not: patch jobs.batch in {other.name}." in operator.log
        namespace.apply(_impossible("served"))
        eventually(lambda: _reason(namespace, "served"), "the other namespace is served", 60)
        grant(other, ALL, to="partial", of=namespace)
        assert operator.wait(60) == 0
        assert f"Namespace {other.name} can be served now: starting anew" in operator.log
    namespace.delete("quotenodebackup", "served")
    with OperatorProcess(both, tmp_path / "second.log", KUBECONFIG=kubeconfig) as operator:
        operator.said(f"Watching {namespace.name}, {other.name} as")


def test_a_missing_right_ends_the_start_and_is_named(namespace: Namespace, tmp_path: Path) -> None:
    grant(namespace, ALL_BUT_ONE, to="limited", of=namespace)
    limited = OperatorProcess(
        namespace.name, tmp_path / "log", KUBECONFIG=kubeconfig_of(namespace, "limited", tmp_path)
    )
    assert limited.wait(60) == 1
    assert f"the operator's ServiceAccount may not: patch jobs.batch in {namespace.name}." in limited.log
    assert "Its Role is part of the chart" in limited.log
    assert "Traceback" not in limited.log


def test_a_setting_that_makes_no_sense_ends_the_start_and_is_named(namespace: Namespace, tmp_path: Path) -> None:
    confused = OperatorProcess(namespace.name, tmp_path / "log", QN_LOG_LEVEL="LOUD")
    assert confused.wait(60) == 1
    assert "QN_LOG_LEVEL is 'LOUD': it must be one of DEBUG, INFO, WARNING, ERROR" in confused.log


class Road:
    """A way to the API server that can be closed: connections are cut, and new ones refused."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._gate = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._gate.getsockname()[1])
        self._open = threading.Event()
        self._open.set()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._open.clear()
        for pair in self._pairs:
            for end in pair:
                end.close()
        self._pairs.clear()

    def reopen(self) -> None:
        self._open.set()

    def _serve(self) -> None:
        while True:
            near, _ = self._gate.accept()
            if not self._open.is_set():
                near.close()
                continue
            pair = (near, socket.create_connection(self._target))
            self._pairs.append(pair)
            threading.Thread(target=_carry, args=pair, daemon=True).start()


def _carry(near: socket.socket, far: socket.socket) -> None:
    other = {near: far, far: near}
    with selectors.DefaultSelector() as ready:
        try:
            for end in other:
                ready.register(end, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select(1):
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        return
                    other[key.fileobj].sendall(data)  # type: ignore[index]
        except (OSError, ValueError):
            return
        finally:
            near.close()
            far.close()


@pytest.fixture
def road(tmp_path: Path) -> Iterator[tuple[Road, str]]:
    config = our_kubeconfig()
    server = config["clusters"][0]["cluster"]["server"].removeprefix("https://")
    host, _, port = server.rpartition(":")
    way = Road(host, int(port))
    config["clusters"][0]["cluster"] |= {"server": f"https://127.0.0.1:{way.port}", "tls-server-name": "kubernetes"}
    yield way, written(tmp_path, config)
    way.close()


def test_an_api_server_that_is_away_for_seconds_is_waited_for(
    namespace: Namespace, road: tuple[Road, str], tmp_path: Path
) -> None:
    way, kubeconfig = road
    with OperatorProcess(namespace.name, tmp_path / "log", KUBECONFIG=kubeconfig, QN_RESYNC_SECONDS="5") as operator:
        operator.said("Watching")
        way.close()
        operator.said("Resync: GET")
        way.reopen()
        namespace.apply(_impossible("after-the-pause"))
        eventually(lambda: _reason(namespace, "after-the-pause"), "the run made after the pause is looked at", 60)
        assert operator.process.poll() is None
    assert operator.process.returncode == 0
    namespace.delete("quotenodebackup", "after-the-pause")


def _impossible(name: str) -> Json:
    return {
        "apiVersion": "backup.quotenode.io/v1beta1",
        "kind": "QuoteNodeBackup",
        "metadata": {"name": name},
        "spec": {
            "database": {"host": "db.invalid", "name": "shop", "credentialsSecretRef": {"name": "none"}},
            "files": [{"name": "files", "claimName": "none"}],
            "storage": {"local": {"claimName": "bundles"}},
        },
    }


def _reason(namespace: Namespace, name: str) -> str:
    return str((namespace.get("quotenodebackup", name) or {}).get("status", {}).get("reason", ""))
