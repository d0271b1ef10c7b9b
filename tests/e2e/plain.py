"""A bundle opened by hand: in a plain Debian pod with tar, sha256sum and pg_restore, and nothing of ours."""

from dataclasses import dataclass

from tests.e2e.kubectl import Json, Namespace
from tests.e2e.waiting import eventually

OPEN = r"""
set -euo pipefail
cd /opened
bundle=$(find /backups -name "$NAME")
[ "$(sha256sum < "$bundle" | cut -d' ' -f1)" = "$CHECKSUM" ]
tar xzf "$bundle"
sha256sum --quiet -c checksums.sha256
export PGHOST=/opened PGUSER=postgres PGDATABASE=quotenode PGSSLMODE=disable
initdb --pgdata=/opened/scratch --username=postgres --encoding=UTF8 --locale=C.UTF-8 --auth=trust --no-sync > /dev/null
pg_ctl --pgdata=/opened/scratch --wait --silent --log=/opened/log \
    --options="-c listen_addresses='' -c unix_socket_directories=/opened -c fsync=off" start > /dev/null
createuser quotenode
createdb --owner=quotenode quotenode
pg_restore --exit-on-error --dbname=quotenode backup.dump
mkdir restored
tar --extract --gzip --preserve-permissions --file=files.tar.gz --directory=restored
echo "== database"; fingerprint database
echo "== files"; fingerprint tree restored uploads pdfs
echo "== named"; fingerprint named restored
echo "== end"
"""


@dataclass(frozen=True)
class Restored:
    database: list[str]
    files: list[str]
    named_files: int
    named_files_missing: int


def open_bundle(namespace: Namespace, status: Json) -> Restored:
    name = f"open-{status['checksum'][:12]}"
    namespace.apply(_pod(name, status))

    def ended() -> bool:
        pod = namespace.get("pod", name) or {}
        return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}

    eventually(ended, f"pod {name} has opened the bundle", 120)
    said = namespace.kubectl("logs", name)
    assert said.rstrip().endswith("== end"), said[-3000:]
    parts = {part.splitlines()[0]: part.splitlines()[1:] for part in said.split("== ")[1:]}
    named = parts["named"][0].split()  # "501 files named by rows, 0 missing or different"
    return Restored(parts["database"], parts["files"], int(named[0]), int(named[5]))


def _pod(name: str, status: Json) -> Json:
    path = status["destinations"][0]["path"].rpartition("/")[2]
    context = {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "fsGroup": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "plain",
        "image": "localhost/quotenode-standin:dev",
        "imagePullPolicy": "Never",
        "command": ["bash", "-c", OPEN],
        "env": [{"name": "NAME", "value": path}, {"name": "CHECKSUM", "value": status["checksum"]}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "backups", "mountPath": "/backups", "readOnly": True},
            {"name": "work", "mountPath": "/opened"},
            {"name": "memory", "mountPath": "/dev/shm"},
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": context,
            "containers": [container],
            "volumes": [
                {"name": "backups", "persistentVolumeClaim": {"claimName": "quotenode-backups"}},
                {"name": "work", "emptyDir": {}},
                {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}},
            ],
        },
    }
