"""PostgreSQL's client programs: which of them are used, and how they are told where the database is.

pg_dump has the major version of the server, so that a person with that server's pg_restore can read the dump. If the image does not have that
version, pg_dump has the next higher one.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quotenode_backup.contract.plans import Compression
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres.connection import KEEPALIVE, session_settings
from quotenode_backup.runner.postgres.server import Server
from quotenode_backup.runner.process.display import sentence

ZSTD_SINCE = 16
VERSION_SECONDS = 60
"""A program on a node with much to do may take a while to start."""


@dataclass(frozen=True, slots=True)
class Client:
    major: int
    folder: Path

    @property
    def pg_dump(self) -> str:
        return str(self.folder / "pg_dump")

    @property
    def pg_restore(self) -> str:
        return str(self.folder / "pg_restore")

    @property
    def psql(self) -> str:
        return str(self.folder / "psql")


def installed(root: Path) -> list[Client]:
    """In ascending order of major versions."""
    found = [Client(int(path.name), path / "bin") for path in root.iterdir() if re.fullmatch(r"\d+", path.name)]
    return sorted((c for c in found if Path(c.pg_dump).exists()), key=lambda client: client.major)


def choose(server_major: int, clients: list[Client], address: str) -> Client:
    for client in clients:
        if client.major >= server_major:
            return client
    known = ", ".join(str(client.major) for client in clients) or "none"
    raise RunFailed(
        Reason.SERVER_TOO_NEW,
        f"The server at {address} is PostgreSQL {server_major}, newer than every client in this image ({known}): "
        "use a release of the operator whose image has that client.",
    )


def compress_option(wanted: Compression, client_major: int) -> str:
    """The value of pg_dump's --compress.

    zstd's first level takes half the processor time of its third, and makes dumps of QuoteNode's tables no larger. gzip is used at its fastest
    level, also in place of zstd by clients that lack it.
    """
    match wanted:
        case Compression.NONE:
            return "0"
        case Compression.ZSTD if client_major >= ZSTD_SINCE:
            return "zstd:1"
        case _:
            return "1"


def version(client: Client, environment: Mapping[str, str]) -> str:
    """Such as `17.10`."""
    command = [client.pg_dump, "--version"]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, check=True, text=True, timeout=VERSION_SECONDS
        )
        return done.stdout.split()[2]
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        message = (
            f"{client.pg_dump} does not tell its version ({sentence(str(error), 200)}): is this the operator's image?"
        )
        raise RunFailed(Reason.INTERNAL_ERROR, message) from error


def connection_string(database: str, server_version: int) -> str:
    """The `--dbname` of a client. The database's name is a quoted value in it, and cannot be taken for a connection string."""
    options = " ".join(f"-c {setting}={value}" for setting, value in session_settings(server_version).items())
    parameters = {"dbname": database, **KEEPALIVE, "options": options}
    return " ".join(f"{key}={_quoted(str(value))}" for key, value in parameters.items())


def _quoted(value: str) -> str:
    """`value` as libpq reads it in a connection string."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def database_environment(server: Server, base: Mapping[str, str], password_file: os.PathLike[str]) -> dict[str, str]:
    return {
        **base,
        "PGHOST": server.planned.host,
        "PGPORT": str(server.planned.port),
        "PGUSER": server.credentials.username,
        "PGPASSFILE": os.fspath(password_file),
        "PGSSLMODE": server.planned.ssl_mode,
        **({"PGREQUIREAUTH": server.require_auth} if server.require_auth else {}),
        **({"PGSSLROOTCERT": str(server.ca_file)} if server.ca_file else {}),
    }
