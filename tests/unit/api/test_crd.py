"""The CRD as a whole: structural, bounded, described, and with a row in the table of bounds for each field that has one."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from quotenode_backup.api.crd import backup_crd

Schema = dict[str, Any]
VERSION = backup_crd()["spec"]["versions"][0]
ROOT = VERSION["schema"]["openAPIV3Schema"]


def nodes(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


ALL = [*nodes(ROOT["properties"]["spec"], "spec"), *nodes(ROOT["properties"]["status"], "status")]
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


DESCRIBED = [("the resource", ROOT), *((path, node) for path, node in ALL if "description" in node)]


@pytest.mark.parametrize(("path", "node"), DESCRIBED, ids=[path for path, _ in DESCRIBED])
def test_each_description_is_one_or_two_sentences(path: str, node: Schema) -> None:
    """`kubectl explain` prints it beside many others: more than that belongs in docs/."""
    assert 1 <= len(re.findall(r"[.?!](?=\s|$)", node["description"])) <= 2, path
    assert node["description"].endswith("."), path


def test_what_a_run_says_is_a_subresource() -> None:
    assert VERSION["subresources"] == {"status": {}}


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
