"""A pod's folders below one of the test's own, and a plan for them."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.runner.bundle.reader import Restorer
from quotenode_backup.runner.postgres.clients import Client
from quotenode_backup.runner.process.display import Redactor
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.process.program import Context
from quotenode_backup.runner.process.signals import Signals, Unfinished
from quotenode_backup.runner.store.destination import Destination, prepared

DUMP = b"PGDMP" + bytes(range(256)) * 4
"""What `make_restorer`'s pg_restore takes for a dump."""
STARTED = datetime(2026, 3, 1, 2, 30, 15, tzinfo=UTC)


def make_mounts(root: Path) -> Mounts:
    mounts = Mounts.below(root)
    folders = (mounts.plan.parent, mounts.result.parent, mounts.database_secret, mounts.destination, mounts.private)
    for folder in (*folders, mounts.source(0)):
        folder.mkdir(parents=True)
    return mounts


def plan_fields(**changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "runUid": "0b6f2a9e-6a53-4f0e-9d59-0c6f7d1c2e3f",
        "namespace": "shop",
        "name": "nightly",
        "attempt": 1,
        "initiatedBy": "Admin",
        "started": STARTED.isoformat(),
        "deadline": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
        "database": {
            "host": "db",
            "port": 5432,
            "name": "quotenode",
            "sslMode": "prefer",
            "compression": "Zstd",
            "credentialsSecret": "quotenode-db",
            "usernameKey": "user",
            "passwordKey": "pass",
        },
        "files": [{"name": "uploads", "claimName": "quotenode-uploads", "subPath": ""}],
        "local": {"claimName": "quotenode-backups", "subPath": "backups"},
        **changes,
    }


def make_plan(**changes: Any) -> BackupPlan:
    return BackupPlan.model_validate_json(json.dumps(plan_fields(**changes)))


def make_context(mounts: Mounts) -> Context:
    return Context(mounts, Signals(Unfinished("it was tested", "test it again")), Redactor())


def redactor_of(*secrets: str) -> Redactor:
    redact = Redactor()
    for secret in secrets:
        redact.learn(secret)
    return redact


def write_secret(mounts: Mounts, username: bytes = b"quotenode", password: bytes = b"a canary") -> None:
    (mounts.database_secret / "username").write_bytes(username)
    (mounts.database_secret / "password").write_bytes(password)


@contextmanager
def a_destination(root: Path, plan: BackupPlan) -> Iterator[Destination]:
    """Of a claim in a pod's folders below `root`."""
    with prepared(make_mounts(root).destination, plan, "a1b2c3d4", "pod-1") as destination:
        yield destination


def folder_of(destination: Destination) -> Path:
    return destination.claim.root / destination.path


def content_of(folder: Path) -> dict[bytes, tuple[Any, ...]]:
    """All that a restore must bring back of a tree, by name as bytes."""
    return {os.fsencode(path.relative_to(folder)): _content(path) for path in folder.rglob("*")}


def _content(path: Path) -> tuple[Any, ...]:
    seen = path.lstat()
    if path.is_symlink():
        return "link", os.readlink(path)  # noqa: PTH115 - Path.readlink would tidy the target up
    if path.is_dir():
        return "folder", seen.st_mode, seen.st_mtime_ns
    return "file", seen.st_mode, seen.st_mtime_ns, path.read_bytes()


RESTORES, IS_KILLED = '[ "$(head -c 5)" = PGDMP ] && cat > /dev/null', "kill -KILL $$"
"""What a pg_restore does."""


def make_restorer(root: Path, script: str = RESTORES) -> Restorer:
    """With a pg_restore that knows no more of a dump than how it begins. The real one reads real dumps in the image."""
    program = root / "pg_restore"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Restorer(Client(17, root), {"PATH": os.environ["PATH"]}, Redactor())
