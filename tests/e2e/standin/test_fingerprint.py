"""The end-to-end tests trust the fingerprint to see every difference between two databases. Here it has to show it."""

from collections.abc import Callable

import pytest

from tests.e2e.kubectl import Namespace
from tests.e2e.standin.quotenode import BACKEND, QuoteNode

SAME = {
    "nothing": "",
    "a row of a backup": "INSERT INTO backup_logs VALUES (gen_random_uuid(), 'RUNNING', 'ADMIN', now())",
    "the rows' places": "CLUSTER customers USING customers_pkey; VACUUM FULL offers",
}

CHANGES = {
    "a row's text": "UPDATE customers SET name = name || ' ' WHERE id = 1",
    "the last digit of a number": "UPDATE offers SET total = total + 0.0001 WHERE id = 1",
    "a microsecond": "UPDATE customers SET created_at = created_at + interval '1 microsecond' WHERE id = 1",
    "null and an empty text": "UPDATE offers SET note = '' WHERE id = (SELECT min(id) FROM offers WHERE note IS NULL)",
    "one combining mark": "UPDATE customers SET name = name || U&'\\0301' WHERE id = 2",
    "a byte of a bytea": "UPDATE products SET thumbnail = set_byte(thumbnail, 0, get_byte(thumbnail, 0) # 1) WHERE id = 1",
    "a row less": "DELETE FROM documents WHERE id = 1",
    "a row twice": "CREATE TABLE t AS SELECT 1 AS x; INSERT INTO t VALUES (1)",
    "values swapped between rows": "UPDATE offers SET note = CASE id WHEN 1 THEN 'b' ELSE 'a' END WHERE id IN (1, 2)",
    "a row in another partition": "UPDATE offer_lines SET offered_on = '2030-01-01' WHERE offer_id = 1 AND position = 1",
    "a byte of a large object": "SELECT lo_put(min(oid), 0, '\\xff') FROM pg_largeobject_metadata",
    "one large object more": "SELECT lo_from_bytea(0, '')",
    "a sequence moved on": "SELECT nextval('offer_number_seq')",
    "a sequence reset but not called": "SELECT setval('offer_number_seq', last_value, false) FROM offer_number_seq",
    "an identity moved on": "SELECT nextval('customers_id_seq')",
    "an enum label": "ALTER TYPE offer_status ADD VALUE 'lost' BEFORE 'sent'",
    "a view": "CREATE OR REPLACE VIEW open_offers AS SELECT id, number, number AS customer, total FROM offers",
    "the materialised view's rows": "UPDATE offers SET total = total + 1; REFRESH MATERIALIZED VIEW turnover",
    "an index": "DROP INDEX offers_open",
    "a foreign key": "ALTER TABLE documents DROP CONSTRAINT documents_offer_id_fkey",
    "a default": "ALTER TABLE offers ALTER status SET DEFAULT 'sent'",
    "a trigger switched off": "ALTER TABLE documents DISABLE TRIGGER documents_immutable",
    "a function's body": "ALTER FUNCTION refuse_change() SECURITY DEFINER",
    "a comment": "COMMENT ON TABLE customers IS 'others'",
    "an owner": "ALTER TABLE documents OWNER TO postgres",
    "a privilege": "GRANT SELECT ON documents TO PUBLIC",
    "the definition of the table of backups": "ALTER TABLE backup_logs ALTER destination SET NOT NULL",
    "a schema": 'CREATE SCHEMA "an; other"',
}

FILE_CHANGES = {
    "a byte": "printf x >> uploads/logos/company.png",
    "a mode": "chmod 0600 uploads/logos/company.png",
    "a time": "touch -m -d '2020-01-01 00:00:00.000000001' uploads/logos/company.png",
    "a name": "mv uploads/logos/company.png $'uploads/logos/company\\xff.png'",
    "an empty folder": "mkdir uploads/empty",
    "a link's target": "ln -sf elsewhere uploads/link",
    "a file less": "rm uploads/logos/company.png",
}


# All in one visit to the pod each, since a visit costs more than a fingerprint.
CHANGE_COPIES = """
set -o pipefail
while IFS= read -r -d '' change; do
    dropdb --if-exists --force changed
    createdb --template="$0" changed
    psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --output=/dev/null <<< "$change"
    fingerprint database | sha256sum
done"""

CHANGE_TREES = """
set -o pipefail
while IFS= read -r -d '' change; do
    cd "$(mktemp --directory --tmpdir=/app/data/.incoming)"
    cp -a ../../uploads ../../pdfs .
    ln -s before uploads/link
    fingerprint tree . uploads pdfs | sha256sum
    eval "$change"
    fingerprint tree . uploads pdfs | sha256sum
    tar --format=posix -czf t.tar.gz uploads pdfs
    fingerprint tar t.tar.gz | sha256sum
    rm -r "$PWD"
done"""


@pytest.fixture(scope="module")
def quotenode(own_namespace: Callable[[str], Namespace], deploy: Callable[[Namespace], QuoteNode]) -> QuoteNode:
    return deploy(own_namespace("fingerprint"))


@pytest.fixture(scope="module")
def pristine(quotenode: QuoteNode) -> str:
    """A restored copy, which the changes start from: a template must not be in use, and the live one always is."""
    quotenode.in_database_pod(
        "bash",
        "-euc",
        "set -o pipefail; createdb --template=template0 --owner=quotenode pristine"
        " && pg_dump --format=custom quotenode | pg_restore --exit-on-error --dbname=pristine",
        database="postgres",
    )
    return "pristine"


def test_a_restored_database_has_the_fingerprint_of_its_source(quotenode: QuoteNode, pristine: str) -> None:
    assert quotenode.database_fingerprint(pristine) == quotenode.database_fingerprint()


def test_it_sees_each_change_of_a_database(quotenode: QuoteNode, pristine: str) -> None:
    changes = SAME | CHANGES
    said = quotenode.in_database_pod(
        "bash", "-euc", CHANGE_COPIES, pristine, database="changed", stdin=_terminated(changes), timeout=300
    )
    hashes = dict(zip(changes, said.splitlines(), strict=True))
    assert {change for change in changes if hashes[change] == hashes["nothing"]} == set(SAME)


def test_it_sees_each_change_of_a_tree_and_reads_a_tar_as_the_tree(quotenode: QuoteNode) -> None:
    said = iter(_in_backend(quotenode, CHANGE_TREES, stdin=_terminated(FILE_CHANGES)).splitlines())
    hashes = dict(zip(FILE_CHANGES, zip(said, said, said, strict=True), strict=True))
    assert [change for change, (before, after, _) in hashes.items() if before == after] == []
    assert [change for change, (_, after, in_tar) in hashes.items() if after != in_tar] == []


def test_it_misses_a_file_that_a_row_names(quotenode: QuoteNode) -> None:
    said = _in_backend(
        quotenode,
        "fingerprint named /app/data; mv /app/data/pdfs/2024 /app/data/.incoming/; "
        "fingerprint named /app/data || echo refused; mv /app/data/.incoming/2024 /app/data/pdfs/",
    )
    assert "25 files named by rows, 0 missing or different" in said
    assert "missing: pdfs/2024/" in said
    assert "refused" in said


def _in_backend(quotenode: QuoteNode, script: str, *, stdin: str = "") -> str:
    return quotenode.kubectl(
        "exec", "--stdin", BACKEND, "--container=backend", "--", "bash", "-euc", script, stdin=stdin, timeout=180
    )


def _terminated(changes: dict[str, str]) -> str:
    return "".join(f"{change}\0" for change in changes.values())
