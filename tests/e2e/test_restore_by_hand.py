"""The commands of docs/quotenode.md fetch a bundle and those of docs/restore-by-hand.md bring QuoteNode back: both run as they are printed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from quotenode_backup.domain.naming import trigger_run_name
from tests.e2e.aftermath import BUNDLES
from tests.e2e.backups import completed
from tests.e2e.claims import files_in
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.operators import OperatorProcess
from tests.e2e.pods import STAND_IN
from tests.e2e.standin.quotenode import EXAMPLES, QuoteNode
from tests.e2e.waiting import eventually

DOCS = EXAMPLES.parent / "docs"
DAMAGE = """
DELETE FROM documents WHERE id % 2 = 0;
UPDATE customers SET name = 'nobody';
CREATE TABLE newer (customer bigint REFERENCES customers);
CREATE TABLE not_the_applications ();
"""
"""The first new table is why `pg_restore --clean` into the old database would fail half-way."""
NOT_THE_APPLICATIONS = """
SELECT relname, relowner::regrole FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relowner <> 'quotenode'::regrole
"""
SPOIL = "rm -r pdfs/2024; echo spoilt > uploads/logos/company.png; mkdir -p pdfs/new; echo newer > pdfs/new/newer.pdf"


@pytest.fixture(scope="module")
def namespace(own_namespace: Callable[[str], Namespace]) -> Namespace:
    return own_namespace("by-hand")


@pytest.fixture(scope="module")
def quotenode(namespace: Namespace, deploy: Callable[[Namespace], QuoteNode]) -> QuoteNode:
    return deploy(namespace)


def commands(page: str, **named: str) -> list[str]:
    """The shell blocks of a page, with the test's names in the place of the page's."""
    text = (DOCS / page).read_text()
    for printed, meant in named.items():
        assert printed in text, f"{page} has no {printed}"
        text = text.replace(printed, meant)
    return [block.split("```")[0] for block in text.split("```sh\n")[1:]]


def run_in(folder: Path, blocks: list[str]) -> None:
    """As when they are pasted: what reads from the terminal would read the next command."""
    script = "".join(blocks)
    done = subprocess.run(
        ["bash", "-euxo", "pipefail"], cwd=folder, input=script, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{done.stdout[-1500:]}\n{done.stderr[-3000:]}"


def backed_up(namespace: Namespace, trigger: str) -> tuple[str, Json]:
    """A run of the schedule in examples/: its name and its status."""
    patch = json.dumps({"spec": {"trigger": trigger}})
    namespace.kubectl("patch", "quotenodebackup", "nightly", "--type=merge", f"--patch={patch}")
    schedule = namespace.get("quotenodebackup", "nightly") or {}
    name = trigger_run_name("nightly", schedule["metadata"]["uid"], trigger)
    eventually(lambda: namespace.get("quotenodebackup", name), f"{name} is made", 30)
    return name, completed(namespace, name)


def own_row(quotenode: QuoteNode, run: Json) -> str:
    return quotenode.psql(f"SELECT status, error_message FROM backup_logs WHERE id = '{run['metadata']['uid']}'")


def test_what_the_pages_say_fetches_pins_and_restores_a_bundle(
    namespace: Namespace, quotenode: QuoteNode, tmp_path: Path
) -> None:
    here = {"-n shop": f"-n {namespace.name}", "debian:trixie-slim": STAND_IN}
    with OperatorProcess(namespace.name, tmp_path / "operator.log"):
        namespace.kubectl("apply", f"--filename={EXAMPLES / '02-schedule.yaml'}")
        name, status = backed_up(namespace, "before the accident")
        place = status["destinations"][0]["path"]
        bundle = place.rpartition("/")[2]
        database, files = quotenode.database_fingerprint(), quotenode.files_fingerprint()

        [fetch, pin] = [
            block for block in commands("quotenode.md", **here, **{"nightly-0123456789": name}) if "fetch" in block
        ]
        run_in(tmp_path, [fetch, pin])
        assert f"{place}.keep" in files_in(namespace, BUNDLES)

        quotenode.psql(DAMAGE)
        namespace.kubectl(
            "exec", "deployment/backend", "--container=backend", "--", "sh", "-euc", f"cd /app/data; {SPOIL}"
        )
        assert quotenode.database_fingerprint() != database
        assert quotenode.files_fingerprint() != files

        run_in(tmp_path, commands("restore-by-hand.md", **here, **{"quotenode-backup-20261124-020000.tar.gz": bundle}))

        assert quotenode.database_fingerprint() == database
        assert quotenode.files_fingerprint() == files
        assert quotenode.psql(NOT_THE_APPLICATIONS) == ""
        assert "quotenode_before" not in quotenode.psql("SELECT datname FROM pg_database")
        run = namespace.get("quotenodebackup", name) or {}
        assert own_row(quotenode, run) == "RUNNING|"

        assert quotenode.create_offer("after the accident")
        backed_up(namespace, "after the accident")
        assert own_row(quotenode, run).startswith("FAILED|Interrupted")
