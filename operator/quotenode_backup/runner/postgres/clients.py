"""Which pg_dump: the server's own major, so that a person with that server's pg_restore can read the dump; else the next higher."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from quotenode_backup.contract.plans import Compression
from quotenode_backup.domain.reasons import Reason, RunFailed

ZSTD_SINCE = 16


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


def installed(root: Path) -> list[Client]:
    """In ascending order of majors."""
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

    zstd's first level takes half the processor time of its third, and of offers with their numbers and references it makes no larger dumps.
    A client without zstd gets gzip's fastest level, and so does who asks for gzip.
    """
    match wanted:
        case Compression.NONE:
            return "0"
        case Compression.ZSTD if client_major >= ZSTD_SINCE:
            return "zstd:1"
        case _:
            return "1"


def version(client: Client) -> str:
    """Such as `17.10`."""
    said = subprocess.run([client.pg_dump, "--version"], capture_output=True, check=True, text=True).stdout
    return said.split()[2]
