"""One QuoteNode to back up: its database, its claim with uploads, and the claim that keeps the bundles."""

import itertools
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict, Unpack

from quotenode_backup.contract import plans
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.domain.target import Target
from tests.integration import trees
from tests.integration.bundles import Opened, content, open_by_hand
from tests.integration.pod import USER, Mount, Outcome, Pod
from tests.integration.postgres import Database
from tests.integration.waiting import eventually

NAMESPACE = "shop"
HOST = "127.0.0.1"
STARTED = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


class StartOptions(TypedDict, total=False):
    """What `Site.start` may be given beside the plan."""

    secrets: Mapping[str, bytes] | None
    destination_mode: str
    tracer: Sequence[str]
    ca: bytes | None
    command: str
    digest: str | None


@dataclass
class Site:
    folder: Path
    database: Database
    compression: str = "Zstd"
    secrets: dict[str, bytes] = field(default_factory=dict)
    has_files: bool = True
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        user, password = self.database.user.encode(), self.database.password.encode()
        self.secrets = self.secrets or {"username": user, "password": password}
        for claim in (self.uploads, self.destination):
            claim.mkdir(parents=True)
        trees.usual_uploads(self.uploads)
        trees.own(self.uploads, USER)
        trees.own(self.destination, USER)

    @property
    def uploads(self) -> Path:
        return self.folder / "source" / "0"

    @property
    def destination(self) -> Path:
        return self.folder / "destination"

    @property
    def bundle_folder(self) -> Path:
        """Where the bundles of this database are."""
        return self.destination / self.bundle_folder_name

    @property
    def bundle_folder_name(self) -> str:
        return Target(NAMESPACE, HOST, self.database.server.port, self.database.name).bundle_folder

    def plan(
        self,
        *,
        database: Mapping[str, object] | None = None,
        files: Sequence[Mapping[str, object]] | None = None,
        local: Mapping[str, object] | None = None,
        **top: object,
    ) -> bytes:
        uploads = {"name": ".", "claimName": "quotenode-uploads", "subPath": ""}
        now = datetime.now(UTC)
        plan = {
            "version": plans.PLAN_VERSION,
            "runUid": str(uuid.uuid4()),
            "namespace": NAMESPACE,
            "name": "nightly",
            "attempt": 1,
            "initiatedBy": "Admin",
            "started": now.isoformat(),
            "deadline": (now + timedelta(minutes=10)).isoformat(),
            "database": {**self.planned_database(), **(database or {})},
            "files": ([uploads] if self.has_files else []) if files is None else files,
            "local": {"claimName": "quotenode-backups", "subPath": "", **(local or {})},
            **top,
        }
        return json.dumps(plan).encode()

    def planned_database(self) -> dict[str, object]:
        return {
            "host": HOST,
            "port": self.database.server.port,
            "name": self.database.name,
            "sslMode": "prefer",
            "compression": self.compression,
            "credentialsSecret": "quotenode-db",
            "usernameKey": "username",
            "passwordKey": "password",
        }

    def start(
        self,
        plan: bytes | None = None,
        *,
        secrets: Mapping[str, bytes] | None = None,
        destination_mode: str = "rw",
        tracer: Sequence[str] = (),
        ca: bytes | None = None,
        command: str = "backup",
        digest: str | None = None,
    ) -> Pod:
        mounts = [Mount(self.folder / "source", "/source"), Mount(self.destination, "/destination", destination_mode)]
        return Pod(
            self.folder / f"pod-{next(self._numbers)}",
            self.plan() if plan is None else plan,
            self.secrets if secrets is None else secrets,
            mounts,
            tracer=tracer,
            ca=ca,
            command=command,
            digest=digest,
        )

    def task(self, command: str, **plan: object) -> Outcome:
        """Another command of the runner than a backup."""
        return self.task_with(command, plan)

    def task_with(self, command: str, plan: Mapping[str, object], *, tracer: Sequence[str] = ()) -> Outcome:
        now = datetime.now(UTC)
        usual = {
            "version": plans.PLAN_VERSION,
            "runUid": str(uuid.uuid4()),
            "namespace": NAMESPACE,
            "name": "nightly",
            "attempt": 1,
            "deadline": (now + timedelta(minutes=2)).isoformat(),
        }
        return self.start(json.dumps({**usual, **plan}).encode(), command=command, tracer=tracer).wait()

    def backup(self, plan: bytes | None = None, **how: Unpack[StartOptions]) -> Outcome:
        return self.start(plan, **how).wait()

    def succeeds(self, plan: bytes | None = None, **how: Unpack[StartOptions]) -> Opened:
        """A backup that ends well, opened by hand."""
        outcome = self.backup(plan, **how)
        stored = outcome.succeeded()
        self.assert_nothing_left_behind()
        return self.open(self.destination / stored.path)

    def fails(self, reason: Reason, *mentioned: str, plan: bytes | None = None, **how: Unpack[StartOptions]) -> str:
        """A backup that must end so, with nothing left behind; gives its message."""
        before = self.stored()
        message = self.backup(plan, **how).failed(reason, *mentioned)
        self.assert_nothing_left_behind()
        assert self.stored() == before
        return message

    def open(self, bundle: Path) -> Opened:
        return open_by_hand(bundle, self.folder / f"opened-{next(self._numbers)}")

    def restored(self, opened: Opened) -> dict[str, object]:
        return opened.database_content(self.database.server, f"restored_{uuid.uuid4().hex}")

    def live(self) -> dict[str, object]:
        with self.database.connect() as connection:
            return content(connection)

    def assert_equals(self, opened: Opened) -> None:
        """The bundle holds just what is live."""
        assert self.restored(opened) == self.live()
        if self.has_files:
            assert trees.snapshot(opened.files()) == trees.snapshot(self.uploads)

    def works_again(self) -> None:
        """Whatever happened before, the next backup is whole."""
        self.assert_equals(self.succeeds())

    def stored(self) -> dict[str, int]:
        """Every file in the destination, with its size."""
        files = (path for path in self.destination.rglob("*") if path.is_file())
        return {str(path.relative_to(self.destination)): path.stat().st_size for path in files}

    def bundles(self) -> list[Path]:
        return sorted(self.bundle_folder.glob("*.tar.gz"))

    def assert_nothing_left_behind(self) -> None:
        """No session, no lock, and no file that is not part of a committed bundle."""
        self.assert_server_is_free()
        committed = {
            f"{self.bundle_folder_name}/{bundle.name}{suffix}"
            for bundle in self.bundles()
            for suffix in ("", shape.CHECKSUM_SUFFIX, shape.COMMIT_RECORD_SUFFIX)
        }
        assert {name for name in self.stored() if name.startswith(self.bundle_folder_name)} == committed

    def assert_server_is_free(self) -> None:
        eventually(lambda: not self.database.sessions(), "no session of the backup is left", 5)
        assert not self.database.server.query("SELECT * FROM pg_locks WHERE locktype = 'advisory'")
