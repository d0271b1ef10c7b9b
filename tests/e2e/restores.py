"""QuoteNodeRestores as a test makes and reads them, and what must be true when one is over."""

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.e2e.aftermath import no_lock_and_no_session
from tests.e2e.backups import RUN, STEP, a_backup, completed, merged
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.standin.quotenode import BACKEND, QuoteNode
from tests.e2e.waiting import eventually

ADMIN = "restorer"
"""A role of the server, which may create and rename databases, and the Secret with its login."""
FOLDERS = ("uploads", "pdfs")
OWN_FOLDER = ".quotenode-restore-"
LEFTOVERS = r"SELECT datname FROM pg_database WHERE datname LIKE 'qnr\_%' OR datname LIKE '%\_before\_%'"
DAMAGE = """
DELETE FROM documents WHERE id % 2 = 0;
UPDATE customers SET name = 'nobody';
CREATE TABLE newer (customer bigint REFERENCES customers);
DROP VIEW IF EXISTS open_offers;
SELECT nextval('offer_number_seq')
"""
"""A new table that refers to an old one is what `pg_restore --clean` fails on."""
SPOIL = "rm -r pdfs/2024; echo spoilt > uploads/logos/company.png; mkdir -p pdfs/new; echo newer > pdfs/new/newer.pdf"


def a_restore(name: str, **changes: Any) -> Json:
    """A restore of the stand-in's database. `changes` go into the spec as those of a backup do."""
    spec = {
        "source": {"backupName": "good"},
        "database": {
            "host": "quotenode-db",
            "name": "quotenode",
            "credentialsSecretRef": {"name": "quotenode-db"},
            "adminCredentialsSecretRef": {"name": ADMIN},
            "sslMode": "Require",
            "freeSpace": "20Gi",
        },
        "application": {
            "workloads": [{"name": "backend"}, {"name": "backup-worker"}],
            "healthCheck": {"url": "http://backend/healthz"},
        },
        "pod": {"fsGroup": 1000},
    }
    return {
        "apiVersion": "backup.quotenode.io/v1beta1",
        "kind": "QuoteNodeRestore",
        "metadata": {"name": name},
        "spec": merged(spec, changes),
    }


def an_undo(name: str, of: str) -> Json:
    return a_restore(name, source={"backupName": None, "undoOf": of}, database=None)


def allow_restores(namespace: Namespace, quotenode: QuoteNode) -> None:
    """The stand-in's own role owns its database and may not create another."""
    quotenode.psql(f"CREATE ROLE {ADMIN} SUPERUSER LOGIN PASSWORD 'an-administrator'", database="postgres")
    login = {"username": ADMIN, "password": "an-administrator"}
    namespace.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": ADMIN}, "stringData": login})


@dataclass(frozen=True)
class Data:
    """All that a restore must bring back."""

    database: list[str]
    files: list[str]


def data_of(quotenode: QuoteNode) -> Data:
    """Without what restores keep, and without the times of the folders that they keep it in."""
    facts = [json.loads(line) for line in quotenode.files_fingerprint(*FOLDERS)]
    kept = [fact for fact in facts if OWN_FOLDER not in fact["path"]]
    timed = [fact | {"mtime_ns": 0} if fact["path"] in FOLDERS else fact for fact in kept]
    return Data(quotenode.database_fingerprint(), [json.dumps(fact, sort_keys=True) for fact in timed])


def backed_up(namespace: Namespace, quotenode: QuoteNode, name: str = "good") -> Data:
    """Back the data up; gives what was backed up."""
    data = data_of(quotenode)
    namespace.apply(a_backup(name))
    completed(namespace, name)
    return data


def damaged(quotenode: QuoteNode) -> Data:
    """Damage database and files as people do; gives what is there then."""
    quotenode.psql(DAMAGE)
    in_backend(quotenode, f"cd /app/data; {SPOIL}")
    return data_of(quotenode)


def in_backend(quotenode: QuoteNode, script: str) -> str:
    return quotenode.kubectl("exec", BACKEND, "--container=backend", "--", "sh", "-euc", script)


def status(namespace: Namespace, name: str) -> Json:
    body = namespace.get("quotenoderestore", name)
    assert body is not None, f"QuoteNodeRestore {name} is gone"
    found: Json = body.get("status", {})
    return found


def finished(namespace: Namespace, name: str, within: float = 180) -> Json:
    def ended() -> Json | None:
        seen = status(namespace, name)
        return seen if seen.get("phase") in {"Completed", "Failed"} else None

    try:
        return eventually(ended, f"{name} has ended", within)
    except AssertionError as late:
        raise AssertionError(f"{late}; its status: {status(namespace, name)}") from None


def restored(namespace: Namespace, name: str, within: float = 180) -> Json:
    ended = finished(namespace, name, within)
    assert ended["phase"] == "Completed", f"{name}: {ended['reason']}: {ended['message']}"
    return ended


def refused(namespace: Namespace, name: str, reason: str, *mentioned: str) -> Json:
    """The status of a restore that failed for this very reason, in a sentence that mentions these things."""
    ended = finished(namespace, name)
    assert (ended["phase"], ended["reason"]) == ("Failed", reason), f"{name}: {ended['reason']}: {ended['message']}"
    for thing in mentioned:
        assert thing in ended["message"], f"{thing!r} is not in: {ended['message']}"
    return ended


def reaches(namespace: Namespace, name: str, stage: str, within: float = 120) -> None:
    """Looked at often, since a stage can be over in no time. Later stages count too."""

    def reached() -> bool:
        body = namespace.get("quotenoderestore", name)
        return body is None or STAGES.index(body.get("status", {}).get("stage", STAGES[0])) >= STAGES.index(stage)

    eventually(reached, f"{name} is {stage}", within)


STAGES = ("Verifying", "Loading", "Stopping", "Swapping", "Starting", "Checking")


def jobs_of(namespace: Namespace, name: str, step: str) -> list[Json]:
    return namespace.items("jobs", f"{RUN}={name},{STEP}={step}")


def is_up(quotenode: QuoteNode) -> None:
    quotenode.kubectl("rollout", "status", "--timeout=120s", BACKEND, "deployment/backup-worker", timeout=130)


def serves(quotenode: QuoteNode) -> None:
    """The whole application answers, and writes: a row by each sequence that an offer takes, and a file."""
    is_up(quotenode)
    offer = eventually(lambda: quotenode.create_offer("written after a restore"), "an offer is written", 30)
    assert offer


def nothing_left(namespace: Namespace, quotenode: QuoteNode, within: float = 90) -> None:
    """No lock, no session, no database and no folder of a restore."""
    no_lock_and_no_session(namespace, quotenode, within)
    eventually(lambda: not quotenode.psql(LEFTOVERS), "no database of a restore is left", within)
    eventually(lambda: not own_folders(quotenode), "no folder of a restore is left", within)


def own_folders(quotenode: QuoteNode) -> list[str]:
    found = in_backend(quotenode, "find /app/data -maxdepth 2")
    return re.findall(rf".*{re.escape(OWN_FOLDER)}.*", found)
