"""What a restore puts its data into: the database by its two identities, and the folders of the claims."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from quotenode_backup.contract.restore_plans import RestorePlan
from quotenode_backup.domain.reasons import RunFailed
from quotenode_backup.runner.files.source import open_source
from quotenode_backup.runner.postgres.credentials import read_credentials
from quotenode_backup.runner.postgres.restore.identities import ADMIN_FIELD, Identities
from quotenode_backup.runner.postgres.server import Server, server_of
from quotenode_backup.runner.process.program import Context

_OWNER_FIELD = "spec.database.credentialsSecretRef"


def identities_of(plan: RestorePlan, context: Context) -> Identities:
    owner = server_of(plan.database, context.mounts, context.redact)
    return Identities(owner, _admin(plan, owner, context))


def _admin(plan: RestorePlan, owner: Server, context: Context) -> Server | None:
    if plan.admin is None:
        return None
    secret = plan.admin
    keys = {"username_key": secret.username_key, "password_key": secret.password_key}
    planned = plan.database.model_copy(update={"credentials_secret": secret.name, **keys})
    mounts = replace(context.mounts, database_secret=context.mounts.admin_secret)
    try:
        credentials = read_credentials(mounts, planned)
    except RunFailed as failure:
        raise RunFailed(failure.reason, failure.message.replace(_OWNER_FIELD, ADMIN_FIELD)) from failure
    context.redact.learn(credentials.password)
    return Server(planned, credentials, owner.ca_file, context.redact)


@dataclass(frozen=True, slots=True)
class LiveFolder:
    """A folder whose files are replaced."""

    name: str
    """Of its folder in the archive."""
    claim: str
    live: int
    """A descriptor of it."""
    path: Path
    """The claim's root, where it is mounted."""
    sub_path: str


@contextmanager
def live_folders(plan: RestorePlan, context: Context) -> Iterator[Mapping[str, LiveFolder]]:
    """By the names in the archive."""
    with ExitStack() as stack:
        found = {}
        for index, files in enumerate(plan.files):
            root = context.mounts.source(index)
            try:
                live = open_source(root, files.sub_path)
            except RunFailed as failure:
                message = f"Claim {files.claim_name} of spec.files: {failure.message}"
                raise RunFailed(failure.reason, message) from failure
            stack.callback(os.close, live)
            found[files.name] = LiveFolder(files.name, files.claim_name, live, root, files.sub_path)
        yield found
