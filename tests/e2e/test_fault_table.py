"""What can be wrong, and what the resource then says: the very reason, after so many attempts, within so much time, naming the thing and
the remedy.

All rows are started at once, each against a database of its own, so that none waits for another; then each is looked at.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest

from tests.e2e.backups import a_backup, completed, failed, finished, jobs, lock_is_free, merged
from tests.e2e.claims import files_in, run_on
from tests.e2e.kubectl import Json, Namespace, kubectl
from tests.e2e.nodes import forget_volume, local_volume, on_node, unmounted
from tests.e2e.operators import OperatorProcess
from tests.e2e.pods import a_claim, a_pod
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually

# In place, so that the disk does not fill; until the file is removed.
REWRITE = "import time\nwhile True:\n with open('busy.log', 'r+b') as log: log.write(b'x')\n time.sleep(0.01)"
NO_FILES: Json = {"files": [], "pod": {"runAsUser": 1000}}


@dataclass(frozen=True)
class Row:
    reason: str
    spec: Json
    mentioned: tuple[str, ...]
    exit_code: int | None = None
    attempts: int = 1
    seconds: float = 60


def database(name: str, **more: object) -> Json:
    return merged(NO_FILES, {"database": {"name": name, **more}})


def files_of(claim: str, name: str) -> Json:
    return {"files": [{"name": ".", "claimName": claim, "subPath": ""}], "database": {"name": name}}


ROWS = {
    "wrong-password": Row(
        "CredentialsRefused",
        database("fault_password", credentialsSecretRef={"name": "wrong"}),
        ("role quotenode", "quotenode-db:5432", "Secret wrong"),
        77,
        seconds=30,
    ),
    "unknown-database": Row(
        "DatabaseNotFound", database("nowhere"), ("nowhere", "quotenode-db:5432", "spec.database"), 78
    ),
    "unknown-host": Row(
        "SourceUnreachable",
        database("x", host="no-such-host"),
        ("no-such-host:5432", "spec.database.host"),
        69,
        attempts=2,
        seconds=120,
    ),
    "unreadable-table": Row(
        "PermissionDenied",
        database("fault_denied", credentialsSecretRef={"name": "reader"}),
        ("reader", "ledger", "GRANT"),
        77,
    ),
    "secret-absent": Row(
        "SecretMissing", database("fault_s1", credentialsSecretRef={"name": "absent"}), ("Secret absent",), 78
    ),
    "key-absent": Row(
        "SecretMissing",
        database("fault_s2", credentialsSecretRef={"name": "quotenode-db", "passwordKey": "pass"}),
        ("Secret quotenode-db", "no key pass"),
        78,
    ),
    "claim-absent": Row(
        "ClaimMissing",
        merged(database("fault_claim"), {"storage": {"local": {"claimName": "absent-claim"}}}),
        ("PersistentVolumeClaim absent-claim", "create it"),
        seconds=120,
    ),
    "claim-too-small": Row(
        "NoSpace",
        merged(database("fault_space"), {"storage": {"local": {"claimName": "too-small"}}}),
        ("too-small", "Enlarge the claim"),
        73,
    ),
    "unreadable-file": Row(
        "FileUnreadable", files_of("locked-files", "fault_file"), ("locked-files", "private.pdf"), 74
    ),
    "changing-file": Row(
        "FileChanged",
        files_of("changing-files", "fault_change"),
        ("busy.log", "changing-files"),
        74,
        attempts=2,
        seconds=120,
    ),
    "claims-apart": Row(
        "ClaimsApart",
        {
            "files": [
                {"name": "here", "claimName": "on-worker", "subPath": ""},
                {"name": "there", "claimName": "on-control-plane", "subPath": ""},
            ],
            "database": {"name": "fault_apart"},
        },
        ("on-worker", "on-control-plane", "quotenode-worker", "quotenode-control-plane"),
        attempts=0,
        seconds=30,
    ),
    "user-unknown": Row(
        "RunAsUserNeeded",
        files_of("unmounted", "fault_user"),
        ("unmounted", "spec.pod.runAsUser"),
        attempts=0,
        seconds=120,
    ),
    "server-too-new": Row(
        "ServerTooNew", database("postgres", host="newer-db", sslMode="Prefer"), ("18", "17", "newer-db"), 78
    ),
}


@pytest.fixture(scope="module")
def namespace(
    watched: Callable[[str], Namespace],
    deploy: Callable[[Namespace], QuoteNode],
    newer_server: str,
    refused: Namespace,
    imageless: Namespace,
) -> Iterator[Namespace]:
    """With everything prepared and every row begun. The row with the shortest limit has the machine for itself."""
    namespace = watched("faults")
    quotenode = deploy(namespace)
    prepare_databases(namespace, quotenode)
    files_in(namespace, "quotenode-backups")  # so that making the volume is not measured
    namespace.apply(a_backup("wrong-password", **ROWS["wrong-password"].spec))
    finished(namespace, "wrong-password", 120)
    prepare_volumes(namespace)
    namespace.apply(
        a_pod("newer-db", image=newer_server, user=999, labels={"app": "newer-db"}, port=5432),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "newer-db"},
            "spec": {"selector": {"app": "newer-db"}, "ports": [{"port": 5432}]},
        },
    )
    namespace.kubectl("wait", "pod/newer-db", "--for=condition=Ready", "--timeout=90s")
    namespace.apply(*(a_backup(name, **row.spec) for name, row in ROWS.items()))
    yield namespace
    forget_volume(namespace, "too-small")
    namespace.delete("pod", "look-too-small-1000")
    unmounted(small_disk(namespace))


@pytest.fixture(scope="module")
def refused(watched: Callable[[str], Namespace]) -> Namespace:
    """A namespace with a backup whose pod no quota allows."""
    namespace = watched("quota")
    quota: Json = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    namespace.apply(a_claim("quotenode-backups"), quota | {"spec": {"hard": {"pods": "0"}}})
    namespace.apply(a_backup("too-much", **NO_FILES))
    return namespace


@pytest.fixture(scope="module")
def imageless(
    own_namespace: Callable[[str], Namespace], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Namespace]:
    """A namespace with a backup and an operator whose image is nowhere."""
    namespace = own_namespace("image")
    namespace.apply(a_claim("quotenode-backups"))
    log = tmp_path_factory.mktemp("image") / "operator.log"
    files_in(namespace, "quotenode-backups")  # so that making the volume is not measured
    with OperatorProcess(namespace.name, log, QN_RUNNER_IMAGE="localhost/absent:1"):
        namespace.apply(a_backup("no-image", **NO_FILES))
        yield namespace


def prepare_databases(namespace: Namespace, quotenode: QuoteNode) -> None:
    for name in ("fault_denied", "fault_space", "fault_file", "fault_change"):
        quotenode.psql(f"CREATE DATABASE {name} OWNER quotenode", database="postgres")
    quotenode.psql("CREATE ROLE reader LOGIN PASSWORD 'reader'; CREATE TABLE ledger (x int)", database="fault_denied")
    # What can't be compressed and is more than the small volume takes.
    quotenode.psql(
        "CREATE TABLE noise AS SELECT gen_random_uuid() AS a, gen_random_uuid() AS b FROM generate_series(1, 200000);"
        "GRANT SELECT ON noise TO quotenode",
        database="fault_space",
    )
    for name, user, password in (("wrong", "quotenode", "not-it"), ("reader", "reader", "reader")):
        secret: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
        namespace.apply(secret | {"stringData": {"username": user, "password": password}})


def small_disk(namespace: Namespace) -> str:
    """Where it is on the node."""
    return f"/var/local/{namespace.name}/too-small"


def prepare_volumes(namespace: Namespace) -> None:
    small = small_disk(namespace)
    on_node(f"mkdir -p {small}; mountpoint -q {small} || mount -t tmpfs -o size=4m,mode=0777 tmpfs {small}")
    local_volume(namespace, "too-small", small)
    claims = ("locked-files", "changing-files", "on-worker", "on-control-plane", "unmounted")
    namespace.apply(*(a_claim(name) for name in claims))
    run_on(namespace, "locked-files", "echo x > private.pdf; chmod 000 private.pdf")
    run_on(
        namespace,
        "changing-files",
        f'head -c 40000000 /dev/urandom > busy.log; python3 -c "{REWRITE}" > /dev/null 2>&1 &',
    )
    for claim, node in (("on-worker", "quotenode-worker"), ("on-control-plane", "quotenode-control-plane")):
        namespace.apply(a_pod(f"holder-{claim}", claim=claim, node=node))
        namespace.kubectl("wait", f"pod/holder-{claim}", "--for=condition=Ready", "--timeout=90s")


@pytest.mark.parametrize("name", ROWS)
def test_a_fault_is_told_as_it_is(namespace: Namespace, name: str) -> None:
    row = ROWS[name]

    status = failed(namespace, name, row.reason, 200, *row.mentioned)

    assert [attempt.get("exitCode") for attempt in status["attempts"]] == [row.exit_code] * row.attempts
    assert len(jobs(namespace, name)) <= row.attempts
    assert seconds_of(namespace, name, status) <= row.seconds
    if row.attempts == 0:
        assert {"type": "Accepted", "status": "False"}.items() <= accepted(status).items()


def accepted(status: Json) -> Json:
    return next(c for c in status["conditions"] if c["type"] == "Accepted")


def seconds_of(namespace: Namespace, name: str, status: Json) -> float:
    """To its end, from its start or, if it never started, from its making: till then it may wait for its turn."""
    body = namespace.get("quotenodebackup", name)
    assert body
    begun = datetime.fromisoformat(status.get("startTime") or body["metadata"]["creationTimestamp"])
    return (datetime.fromisoformat(status["completionTime"]) - begun).total_seconds()


def test_afterwards_no_lock_is_held_nothing_lies_about_and_the_next_backup_works(namespace: Namespace) -> None:
    for name, row in ROWS.items():
        failed(namespace, name, row.reason, 200)
    run_on(namespace, "changing-files", "rm busy.log")
    eventually(lambda: lock_is_free(namespace), "every lock is free", 30)
    assert files_in(namespace, "quotenode-backups") == []
    assert files_in(namespace, "too-small") == []

    namespace.apply(a_backup("good-again"))

    assert completed(namespace, "good-again")["phase"] == "Completed"


def test_a_pod_that_the_quota_refuses_is_told_with_the_clusters_own_sentence(refused: Namespace) -> None:
    status = failed(refused, "too-much", "PodRejected", 150, "exceeded quota: none", "Raise the quota")

    assert [attempt.get("exitCode") for attempt in status["attempts"]] == [None]
    assert seconds_of(refused, "too-much", status) <= 120


def test_an_image_that_cannot_be_pulled_is_named(imageless: Namespace) -> None:
    status = failed(imageless, "no-image", "ImagePull", 150, "localhost/absent:1", "runner.image")

    assert [attempt.get("exitCode") for attempt in status["attempts"]] == [None]
    assert seconds_of(imageless, "no-image", status) <= 120


def test_files_that_only_root_has_mounted_are_not_read_as_root(watched: Callable[[str], Namespace]) -> None:
    namespace = watched("root")
    kubectl("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=privileged", "--overwrite")
    namespace.apply(a_claim("quotenode-backups"), a_claim("roots"), a_pod("as-root", claim="roots", user=0))
    namespace.kubectl("wait", "pod/as-root", "--for=condition=Ready", "--timeout=90s")
    namespace.apply(a_backup("of-root", **files_of("roots", "x")))

    status = failed(namespace, "of-root", "RunAsUserNeeded", 30, "as-root", "root", "spec.pod.runAsUser")

    assert status["attempts"] == []
    assert jobs(namespace, "of-root") == []
