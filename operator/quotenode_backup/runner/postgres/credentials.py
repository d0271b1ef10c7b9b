"""The role and the password for the database, read from the mounted Secret.

The password is never in an argument or in an environment. pg_dump reads it from a password file of mode 0600 in memory: the mounted Secret is
readable for everybody, and libpq refuses such a file.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from quotenode_backup.contract.plans import PlannedDatabase
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.process.mounts import Mounts


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str
    password: str = field(repr=False)


def read_credentials(mounts: Mounts, database: PlannedDatabase) -> Credentials:
    folder, secret = mounts.database_secret, database.credentials_secret
    username = _read(folder / "username", secret, database.username_key)
    password = _read(folder / "password", secret, database.password_key)
    if username is None and password is None:
        raise RunFailed(
            Reason.SECRET_MISSING,
            f"Secret {secret} (spec.database.credentialsSecretRef) does not exist, or has neither "
            f"key {database.username_key} nor key {database.password_key}: create it with both.",
        )
    if username is None:
        raise _unusable(secret, f"has no key {database.username_key}: add it")
    if password is None:
        raise _unusable(secret, f"has no key {database.password_key}: add it")
    return Credentials(username, password)


def _read(path: Path, secret: str, key: str) -> str | None:
    """The value without the newline that `echo` and editors add to it. None if the Secret does not have the key."""
    try:
        value = path.read_bytes().removesuffix(b"\n").decode()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(secret, f"cannot be read under key {key} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise _unusable(secret, f"holds bytes under key {key} that are not UTF-8") from error
    if not value:
        raise _unusable(secret, f"has an empty value under key {key}")
    return value


def _unusable(secret: str, what: str) -> RunFailed:
    return RunFailed(Reason.SECRET_MISSING, f"Secret {secret} (spec.database.credentialsSecretRef) {what}.")


def require_ca(mounts: Mounts, database: PlannedDatabase) -> Path | None:
    """The path of the CA certificate, or None if the resource names none."""
    if database.ca_secret is None:
        return None
    if not mounts.ca_file.is_file():
        raise RunFailed(
            Reason.SECRET_MISSING,
            f"Secret {database.ca_secret} (spec.database.caSecretRef) does not exist, or has no key "
            f"{database.ca_key}: create it with the CA certificate under that key.",
        )
    return mounts.ca_file


def write_password_file(mounts: Mounts, database: PlannedDatabase, password: str) -> Path:
    """Writes libpq's password file. It is for any host, database and role, so that only the password needs escaping."""
    if "\n" in password or "\0" in password:
        raise _unusable(
            database.credentials_secret,
            f"has more than one line under key {database.password_key}, which no PostgreSQL client can read from "
            "its password file: choose a password of one line",
        )
    path = mounts.private / "pgpass"
    try:
        _write_privately(path, f"*:*:*:*:{escaped_for_password_file(password)}\n")
    except OSError as error:
        raise RunFailed(
            Reason.IO_ERROR, f"Password file {path} cannot be written into the memory of the pod: {error.strerror}."
        ) from error
    return path


def _write_privately(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def escaped_for_password_file(value: str) -> str:
    return value.replace("\\", "\\\\").replace(":", "\\:")
