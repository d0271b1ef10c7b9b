"""What a person sees: the status, the columns, the words of kubectl explain; and that every number in them is true."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.backups import a_backup, completed, condition
from tests.e2e.claims import run_on
from tests.e2e.kubectl import Json, Namespace, kubectl
from tests.e2e.standin.quotenode import QuoteNode

CLAIM = "quotenode-backups"


@pytest.fixture(scope="module")
def namespace(watched: Callable[[str], Namespace], deploy: Callable[[Namespace], QuoteNode]) -> Namespace:
    namespace = watched("status")
    deploy(namespace)
    return namespace


@pytest.fixture(scope="module")
def run(namespace: Namespace) -> Json:
    """The status of a run that went well."""
    namespace.apply(a_backup("seen"))
    return completed(namespace, "seen")


def on_the_claim(namespace: Namespace, status: Json, script: str) -> str:
    """What a script prints in an empty folder, with the bundle's path in $bundle."""
    path = status["destinations"][0]["path"]
    return run_on(namespace, CLAIM, f"bundle=$PWD/{path}; cd $(mktemp -d); {script}").strip()


def test_size_and_checksum_are_those_of_the_file_on_the_claim(namespace: Namespace, run: Json) -> None:
    said = on_the_claim(namespace, run, "stat -c %s $bundle; sha256sum < $bundle | cut -d' ' -f1")

    assert said.splitlines() == [str(run["sizeBytes"]), run["checksum"]]


def test_the_checksum_beside_the_bundle_is_one_that_sha256sum_reads(namespace: Namespace, run: Json) -> None:
    said = on_the_claim(namespace, run, "cd $(dirname $bundle); sha256sum -c $(basename $bundle).sha256")

    assert said.endswith(": OK")


def test_the_components_are_those_in_the_bundle(namespace: Namespace, run: Json) -> None:
    said = on_the_claim(namespace, run, "tar xzf $bundle; stat -c %s backup.dump files.tar.gz; cat checksums.sha256")
    sizes, listed = said.splitlines()[:2], [line.split("  ") for line in said.splitlines()[2:]]
    sums = {name: checksum for checksum, name in listed}

    components = run["components"]
    assert sizes == [str(components["database"]["sizeBytes"]), str(components["files"]["sizeBytes"])]
    assert sums["backup.dump"] == components["database"]["checksum"]
    assert sums["files.tar.gz"] == components["files"]["checksum"]


def test_the_commit_record_says_the_same_as_the_status(namespace: Namespace, run: Json) -> None:
    record = json.loads(on_the_claim(namespace, run, "cat $bundle.manifest.json"))

    assert record["bundle"]["sha256"] == run["checksum"]
    assert record["runUid"] == uid_of(namespace, "seen")


def uid_of(namespace: Namespace, name: str) -> str:
    body = namespace.get("quotenodebackup", name)
    assert body
    return str(body["metadata"]["uid"])


def test_kubectl_can_wait_for_the_end(namespace: Namespace, run: Json) -> None:
    said = namespace.kubectl("wait", "qnb/seen", "--for=condition=Complete", "--timeout=30s")

    assert said.strip().endswith("condition met")


def test_the_conditions_are_the_truth_and_the_phase_follows(run: Json) -> None:
    holding = {c["type"] for c in run["conditions"] if c["status"] == "True"}

    assert holding == {"Accepted", "Complete", "Verified", "LocalBundlePresent", "AuditLogged"}
    assert condition(run, "Progressing")["status"] == "False"
    assert run["phase"] == "Completed"
    assert run["initiatedBy"] == "Admin"
    assert run["startTime"] <= run["completionTime"]


def test_the_columns_show_what_matters(namespace: Namespace, run: Json) -> None:
    header, row = namespace.kubectl("get", "qnb", "seen", "--output=wide").splitlines()

    for column in ("PHASE", "REASON", "INITIATED BY", "SIZE", "COMPLETED", "AGE", "DESTINATION", "CHECKSUM", "MESSAGE"):
        assert column in header
    for value in ("Completed", "Admin", run["size"], run["checksum"], run["destinations"][0]["path"]):
        assert value in row


def test_the_log_tells_the_story_to_a_person(namespace: Namespace, run: Json) -> None:
    said = namespace.kubectl("logs", f"job/{run['jobName']}")

    for words in ("Locked database", "Reading the bundle back", "was stored and read back"):
        assert words in said


def test_a_finished_job_is_kept_for_a_day_for_its_log(namespace: Namespace, run: Json) -> None:
    job = namespace.get("job", run["jobName"])

    assert job
    assert job["spec"]["ttlSecondsAfterFinished"] == 86400


@pytest.mark.parametrize("compression", ["Gzip", "None"])
def test_each_compression_completes(namespace: Namespace, compression: str) -> None:
    name = f"compression-{compression.lower()}"
    namespace.apply(a_backup(name, database={"compression": compression}))

    assert completed(namespace, name)["components"]["database"]["sizeBytes"] > 0


def test_a_backup_without_files_is_of_the_database_alone(namespace: Namespace) -> None:
    namespace.apply(a_backup("no-files", files=[], pod={"runAsUser": 1000}))
    status = completed(namespace, "no-files")

    members = on_the_claim(namespace, status, "tar tzf $bundle").splitlines()

    assert "files" not in status["components"]
    assert sorted(members) == ["backup.dump", "checksums.sha256", "manifest.json", "tables.json.gz"]


def test_kubectl_explain_has_words_for_every_field() -> None:
    crd = json.loads(kubectl("get", "crd", "quotenodebackups.backup.quotenode.io", "--output=json"))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    silent = [path for path, node in fields(schema["properties"]["spec"], "spec") if not node.get("description")]
    silent += [path for path, node in fields(schema["properties"]["status"], "status") if not node.get("description")]

    assert silent == []
    assert "Name of the database" in kubectl("explain", "qnb.spec.database.name")


def fields(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in node.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
        yield from fields(child.get("items", {}), f"{path}.{name}[]")
