"""Custom resource definitions from the models: structural schemas as the API server wants them, made from what pydantic says."""

from typing import Any

from pydantic import BaseModel

from quotenode_backup.api import GROUP, VERSION
from quotenode_backup.api.backup import KIND, NAME_LIMIT, PLURAL, SHORT_NAME, BackupSpec
from quotenode_backup.api.fields import rule
from quotenode_backup.api.status import BackupStatus

Schema = dict[str, Any]

_KEPT = {
    "default",
    "description",
    "enum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "pattern",
    "required",
    "type",
}


def backup_crd() -> Schema:
    """The CustomResourceDefinition of QuoteNodeBackup."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": [SHORT_NAME],
                "categories": ["quotenode"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(),
                    "schema": {"openAPIV3Schema": _resource()},
                }
            ],
        },
    }


def _columns() -> list[Schema]:
    def column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> Schema:
        return {"name": name, "type": kind, "jsonPath": path} | ({"priority": 1} if wide else {})

    return [
        column("Phase", ".status.phase"),
        column("Reason", ".status.reason"),
        column("Initiated by", ".status.initiatedBy"),
        column("Size", ".status.size"),
        column("Completed", ".status.completionTime", "date"),
        column("Age", ".metadata.creationTimestamp", "date"),
        column("Destination", ".status.destinations[0].path", wide=True),
        column("Checksum", ".status.checksum", wide=True),
        column("Message", ".status.message", wide=True),
    ]


def _resource() -> Schema:
    return {
        "type": "object",
        "description": "A backup of QuoteNode: its database and its files, in one verified bundle.",
        "required": ["spec"],
        "x-kubernetes-validations": [
            rule(
                f"self.metadata.name.size() <= {NAME_LIMIT}",
                f"the name of a QuoteNodeBackup has at most {NAME_LIMIT} characters",
            )
        ],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(BackupSpec),
            "status": structural(BackupStatus),
        },
    }


def structural(model: type[BaseModel]) -> Schema:
    """The model's JSON schema with references inlined, optional fields as plain ones, and nothing the API server does not know."""
    document = model.model_json_schema(by_alias=True)
    return _structural(document, document.get("$defs", {}))


def _structural(node: Schema, definitions: dict[str, Schema]) -> Schema:
    node = _inlined(_without_null(_inlined(node, definitions)), definitions)
    if node.get("x-kubernetes-int-or-string"):
        node = {key: value for key, value in node.items() if key not in {"anyOf", "type"}}
    if "const" in node:
        node = node | {"enum": [node["const"]]}
    kept = {key: value for key, value in node.items() if key in _KEPT or key.startswith("x-kubernetes-")}
    if kept.get("default", ...) in (None, []):
        del kept["default"]
    if "properties" in node:
        kept["properties"] = {name: _structural(child, definitions) for name, child in node["properties"].items()}
    if "items" in node:
        kept["items"] = _structural(node["items"], definitions)
    if kept.get("type") == "object" and "properties" not in kept:
        kept |= _map(node, definitions)
    return kept


def _inlined(node: Schema, definitions: dict[str, Schema]) -> Schema:
    if "$ref" not in node:
        return node
    referred = definitions[node["$ref"].rsplit("/", 1)[-1]]
    return referred | {key: value for key, value in node.items() if key != "$ref"}


def _without_null(node: Schema) -> Schema:
    """`X | None` is an optional X: in Kubernetes absent is the only null."""
    choices = [choice for choice in node.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) != 1:
        return node
    return choices[0] | {key: value for key, value in node.items() if key != "anyOf"}


def _map(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """A map's values as `additionalProperties`, and its keys as CEL: structural schemas have no other word for them."""
    if "patternProperties" in node:
        ((pattern, values),) = node["patternProperties"].items()
        keys = rule(f"self.all(k, k.matches(r'{pattern}'))", "a key is the name of a label, with or without a prefix")
    else:
        values = node["additionalProperties"]
        allowed = ", ".join(f"'{name}'" for name in node["propertyNames"]["enum"])
        keys = rule(f"self.all(k, k in [{allowed}])", f"only these keys are known: {allowed}")
    return {
        "additionalProperties": _structural(values, definitions),
        "x-kubernetes-validations": [*node.get("x-kubernetes-validations", []), keys],
    }
