"""Which database to dump or to restore, and how to get into it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from quotenode_backup.api.fields import ObjectName, SecretKey, SpecModel, rule, rules
from quotenode_backup.contract.plans import Compression
from quotenode_backup.domain.target import Target


class SSLMode(StrEnum):
    DISABLE = "Disable"
    ALLOW = "Allow"
    PREFER = "Prefer"
    REQUIRE = "Require"
    VERIFY_CA = "VerifyCA"
    VERIFY_FULL = "VerifyFull"

    @property
    def libpq(self) -> str:
        """As libpq spells it."""
        return {"VerifyCA": "verify-ca", "VerifyFull": "verify-full"}.get(self.value, self.value.lower())


class CredentialsSecretRef(SpecModel):
    """A Secret in the same namespace with a PostgreSQL role and its password."""

    name: ObjectName
    """Name of the Secret."""
    username_key: SecretKey = "username"
    """Key in the Secret that holds the name of the role."""
    password_key: SecretKey = "password"
    """Key in the Secret that holds the password of the role."""


class CASecretRef(SpecModel):
    """A Secret in the same namespace with the certificate of the authority that signed the server's certificate."""

    name: ObjectName
    """Name of the Secret."""
    key: SecretKey = "ca.crt"
    """Key in the Secret that holds the certificate, in PEM form."""


DatabaseName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63, pattern=r"^[^\x00]+$"),
    Field(
        json_schema_extra=rules(
            rule("bytes(self).size() <= 63", "PostgreSQL names have at most 63 bytes in UTF-8"),
        )
    ),
]


VERIFIED_NEEDS_CA = rule(
    "has(self.caSecretRef) || !(self.sslMode in ['VerifyCA', 'VerifyFull'])",
    "sslMode VerifyCA and VerifyFull need caSecretRef: the certificate to check the server's against",
)


class DatabaseAccess(SpecModel):
    """A PostgreSQL database, and how to get into it."""

    model_config = SpecModel.model_config | {"json_schema_extra": rules(VERIFIED_NEEDS_CA)}

    host: Annotated[
        str,
        StringConstraints(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9:]([A-Za-z0-9._:-]*[A-Za-z0-9:.])?$"),
    ]
    """Host name or IP address of the PostgreSQL server, such as the name of its Service. A connection pooler is refused, since no lock can be held for a session through it."""
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    """TCP port of the server."""
    name: DatabaseName
    """Name of the database, spelled exactly as in PostgreSQL."""
    credentials_secret_ref: CredentialsSecretRef
    """The Secret, in the same namespace, that holds the PostgreSQL role and its password."""
    ssl_mode: SSLMode = SSLMode.PREFER
    """Whether the connection is encrypted and whether the server's certificate is verified, as in libpq's sslmode."""
    ca_secret_ref: CASecretRef | None = None
    """The Secret, in the same namespace, that holds the certificate of the authority that signed the server's certificate. sslMode VerifyCA and VerifyFull need it."""

    def in_namespace(self, namespace: str) -> Target:
        return Target(namespace, self.host, self.port, self.name)


class Database(DatabaseAccess):
    """The PostgreSQL database to dump."""

    credentials_secret_ref: CredentialsSecretRef
    """The Secret, in the same namespace, that holds the PostgreSQL role and its password. The role must be able to read everything in the database, and need not be a superuser."""
    compression: Compression = Compression.ZSTD
    """How the dump is compressed. Zstd is the fastest, but PostgreSQL tools older than 16 cannot read it."""
