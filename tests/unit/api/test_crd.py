"""Each CRD as a whole: structural, bounded, described, and with a row in the table of bounds for each field that has one."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from quotenode_backup.api.crd import backup_crd, restore_crd

Schema = dict[str, Any]
VERSIONS: list[Schema] = [crd["spec"]["versions"][0] for crd in (backup_crd(), restore_crd())]
ROOT, RESTORE = (version["schema"]["openAPIV3Schema"] for version in VERSIONS)
ROOTS = {"backup": ROOT, "restore": RESTORE}


def nodes(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


ALL = [
    node
    for kind, root in ROOTS.items()
    for part in ("spec", "status")
    for node in nodes(root["properties"][part], f"{kind}.{part}")
]
NAMED = [(path, node) for path, node in ALL if not path.endswith(("[]", "{}"))]


@pytest.mark.parametrize(("path", "node"), ALL, ids=[path for path, _ in ALL])
def test_each_field_is_structural_and_bounded(path: str, node: Schema) -> None:
    assert node.get("type") or node.get("x-kubernetes-int-or-string"), path
    assert not {"$ref", "anyOf", "oneOf", "allOf", "const", "title", "nullable"} & set(node)
    if node.get("type") == "string" and node.get("format") != "date-time":
        assert "maxLength" in node or "enum" in node, path
    if node.get("type") == "array":
        assert "maxItems" in node, path
    if "additionalProperties" in node:
        assert "maxProperties" in node, path


@pytest.mark.parametrize(("path", "node"), NAMED, ids=[path for path, _ in NAMED])
def test_each_field_is_explained(path: str, node: Schema) -> None:
    assert len(node.get("description", "")) > 4, path


DESCRIBED = [*ROOTS.items(), *((path, node) for path, node in ALL if "description" in node)]


@pytest.mark.parametrize(("path", "node"), DESCRIBED, ids=[path for path, _ in DESCRIBED])
def test_each_description_is_one_or_two_sentences(path: str, node: Schema) -> None:
    """`kubectl explain` prints it beside many others: more than that belongs in docs/."""
    assert 1 <= len(re.findall(r"[.?!](?=\s|$)", node["description"])) <= 2, path
    assert node["description"].endswith("."), path


@pytest.mark.parametrize("version", VERSIONS, ids=ROOTS)
def test_what_a_run_says_is_a_subresource(version: Schema) -> None:
    assert version["subresources"] == {"status": {}}


def test_a_restore_is_one_line_of_a_table() -> None:
    """What is wide is seen with `-o wide` only."""
    columns = VERSIONS[1]["additionalPrinterColumns"]
    narrow = [column["name"] for column in columns if "priority" not in column]
    assert narrow == ["Kind", "Phase", "Stage", "Source", "Swap", "Completed", "Age"]


def test_the_names_of_both_kinds_are_short() -> None:
    names = [crd["spec"]["names"] for crd in (backup_crd(), restore_crd())]
    assert [name["shortNames"] for name in names] == [["qnb"], ["qnr"]]
    assert [name["categories"] for name in names] == [["quotenode"], ["quotenode"]]


RULES = [one["rule"] for one in ROOT["properties"]["spec"]["x-kubernetes-validations"]]
SPEC_FIELDS = sorted(ROOT["properties"]["spec"]["properties"])


@pytest.mark.parametrize("field", sorted(set(SPEC_FIELDS) - {"schedule", "deletionPolicy"}))
def test_each_field_of_a_one_off_is_frozen_or_refused(field: str) -> None:
    """But for deletionPolicy. A new field must be put on one of the two lists."""
    frozen = any(f"has(self.{field}) == has(oldSelf.{field})" in rule for rule in RULES)
    refused = any(rule.startswith("has(self.schedule) || (!has(") and f"!has(self.{field})" in rule for rule in RULES)
    assert frozen != refused


def test_what_is_refused_on_a_one_off_has_no_default() -> None:
    """It would be put into every one-off."""
    for field in SPEC_FIELDS:
        if any(f"!has(self.{field})" in rule for rule in RULES if rule.startswith("has(self.schedule) || (!has(")):
            assert "default" not in ROOT["properties"]["spec"]["properties"][field], field


def rules_and_messages(schema: Schema) -> list[tuple[str, str]]:
    rules = [one for _, node in nodes(schema, "") for one in node.get("x-kubernetes-validations", [])]
    return [(one["rule"], one["message"]) for one in rules]


RESTORE_SPEC = RESTORE["properties"]["spec"]


@pytest.mark.parametrize("field", sorted(RESTORE_SPEC["properties"]))
def test_each_field_of_a_restore_is_frozen_but_how_long_the_replaced_data_is_kept(field: str) -> None:
    frozen = any(f"has(self.{field}) == has(oldSelf.{field})" in rule for rule, _ in rules_and_messages(RESTORE_SPEC))
    assert frozen == (field != "keepReplacedSeconds")


def test_each_source_is_one_of_those_of_which_exactly_one_is_set() -> None:
    sources = RESTORE_SPEC["properties"]["source"]
    (rule,) = (rule for rule, _ in rules_and_messages(sources) if "exists_one" in rule)
    assert re.findall(r"has\(self\.(\w+)\)", rule) == [name for name in sources["properties"] if name != "sha256"]


@pytest.mark.parametrize(("rule", "message"), rules_and_messages(RESTORE_SPEC))
def test_each_refusal_says_more_than_that_it_is_one(rule: str, message: str) -> None:
    assert len(message) > 25, rule
    assert "failed rule" not in message


def test_nothing_that_comes_later_is_in_the_definition_of_a_restore() -> None:
    """A field is there only when it works."""
    later = {"remote", "mode", "tables", "sequences", "decryption", "intoDatabase", "paths"}
    assert not later & {path.rpartition(".")[2] for path, _ in ALL if path.startswith("restore.spec")}
