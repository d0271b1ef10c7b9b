"""What a QuoteNodeRestore can say, as its author and the operator write it. The rules of CEL are tested on a real API server."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from quotenode_backup.api.backup import BackupSpec
from quotenode_backup.api.restore import RestoreSpec
from quotenode_backup.api.restore_status import RestoreStatus

EXAMPLES = Path(__file__).parents[3] / "examples"
RESTORES = [
    body
    for path in sorted(EXAMPLES.glob("[0-9]*.yaml"))
    for body in yaml.safe_load_all(path.read_text())
    if body["kind"] == "QuoteNodeRestore"
]
DATABASE = {"host": "db", "name": "shop", "credentialsSecretRef": {"name": "login"}}


def spec(**fields: Any) -> RestoreSpec:
    return RestoreSpec.model_validate({"source": {"backupName": "first"}} | fields)


@pytest.mark.parametrize("body", RESTORES, ids=lambda body: body["metadata"]["name"])
def test_each_example_is_a_restore(body: dict[str, Any]) -> None:
    assert RestoreSpec.model_validate(body["spec"]).source


def test_the_first_example_is_three_lines() -> None:
    assert RESTORES[0]["spec"] == {"source": {"backupName": "first"}}


def test_three_lines_inherit_all_the_rest_and_keep_what_they_replace_for_a_week() -> None:
    short = spec()
    assert (short.database, short.files, short.application, short.components) == (None, None, None, None)
    assert (short.keep_replaced_seconds, short.backoff_limit) == (7 * 24 * 3600, 1)
    assert short.active_deadline_seconds is None
    assert not short.dry_run


def test_the_example_with_everything_named_is_to_restore_what_the_first_backup_backs_up() -> None:
    (body,) = (one for one in RESTORES if "database" in one["spec"])
    given = RestoreSpec.model_validate(body["spec"])
    backup = BackupSpec.model_validate(yaml.safe_load((EXAMPLES / "01-backup.yaml").read_text())["spec"])
    assert given.database
    assert given.database.in_namespace("shop") == backup.database.in_namespace("shop")
    assert [one.model_dump() for one in given.files or ()] == [one.model_dump() for one in backup.files]
    assert backup.application
    assert given.application
    names = [one.name for one in given.application.workloads or ()]
    assert names == [one.name for one in backup.application.workloads]


def test_no_workloads_are_others_than_those_that_are_inherited() -> None:
    for none in ({}, {"workloads": None}):
        application = spec(application=none).application
        assert application
        assert application.workloads is None
    empty = spec(application={"workloads": []}).application
    assert empty
    assert empty.workloads == []


def test_a_moment_without_a_zone_is_refused() -> None:
    latest = {"latestOf": {"schedule": "nightly", "before": "2026-11-24T14:00:00"}}
    with pytest.raises(ValidationError, match="timezone"):
        spec(source=latest)


@pytest.mark.parametrize("field", ["compression", "intoDatabase"])
def test_a_field_that_is_unknown_here_is_refused(field: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        spec(database=DATABASE | {field: "x"})


@pytest.mark.parametrize(
    "url",
    ["http://backend/healthz", "https://shop.example.com", "http://[fd00::1]:8080/", "http://a:8080/x?y=%20&z"],
)
def test_a_url_to_ask(url: str) -> None:
    assert spec(application={"healthCheck": {"url": url}})


@pytest.mark.parametrize(
    "url", ["", "backend/healthz", "file:///etc/passwd", "http://user:word@backend/", "http://backend/a b", "http:///x"]
)
def test_not_a_url_to_ask(url: str) -> None:
    with pytest.raises(ValidationError):
        spec(application={"healthCheck": {"url": url}})


def test_the_size_of_what_is_kept_is_called_bytes() -> None:
    status = RestoreStatus.model_validate({"replaced": {"bytes": 7, "until": "2026-12-01T00:00:00Z"}})
    assert status.replaced
    assert status.replaced.size_bytes == 7
    assert status.model_dump(by_alias=True, exclude_none=True)["replaced"]["bytes"] == 7
