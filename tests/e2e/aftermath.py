"""What must be true when a run has ended, however it did."""

from pathlib import PurePosixPath

from tests.e2e.backups import a_backup, completed, lock_is_free
from tests.e2e.claims import files_in, run_on
from tests.e2e.kubectl import Namespace
from tests.e2e.standin.quotenode import QuoteNode
from tests.e2e.waiting import eventually

BUNDLES = "quotenode-backups"
_OURS = "application_name LIKE 'quotenode-backup%' OR application_name = 'pg_dump'"


def nothing_left_and_works_again(
    namespace: Namespace, quotenode: QuoteNode, after: str, claim: str = BUNDLES, within: float = 120
) -> None:
    """After the run of this name: no lock, no session, no bundle that is not whole; then a next backup that completes and tidies up."""
    no_lock_and_no_session(namespace, quotenode)
    before = bundles_in(namespace, claim)
    assert whole_bundles_in(namespace, claim) == before

    following = f"{after}-next"
    namespace.apply(a_backup(following, storage={"local": {"claimName": claim}}))
    status = completed(namespace, following, within)

    assert len(status["attempts"]) == 1
    assert whole_bundles_in(namespace, claim) == before | {status["destinations"][0]["path"]}
    assert not [path for path in files_in(namespace, claim) if ".partial-" in path]
    no_lock_and_no_session(namespace, quotenode)


def no_lock_and_no_session(namespace: Namespace, quotenode: QuoteNode, within: float = 20) -> None:
    eventually(lambda: lock_is_free(namespace), "the Lease is free", within)
    eventually(lambda: not _left_in(quotenode), "no session and no advisory lock is left in PostgreSQL", within)


def _left_in(quotenode: QuoteNode) -> str:
    return quotenode.psql(
        f"SELECT 'session', pid, application_name FROM pg_stat_activity WHERE {_OURS};"
        "SELECT 'lock', pid FROM pg_locks WHERE locktype = 'advisory'"
    )


def bundles_in(namespace: Namespace, claim: str) -> set[str]:
    """Everything that has the name of a bundle."""
    return {path for path in files_in(namespace, claim) if PurePosixPath(path).match("quotenode-backup-*.tar.gz")}


def whole_bundles_in(namespace: Namespace, claim: str) -> set[str]:
    """Those that have a commit record, and are what their checksum says."""
    found = run_on(namespace, claim, _WHOLE)
    return {line.removeprefix("./") for line in found.splitlines()}


_WHOLE = r"""
find . -name '*.tar.gz.manifest.json' | while read -r record; do
    bundle=${record%.manifest.json}
    if (cd "${bundle%/*}"; sha256sum --status --check "${bundle##*/}.sha256"); then echo "$bundle"; fi
done
"""
