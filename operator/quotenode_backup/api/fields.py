"""Field types that several parts of the resources share. Each description is read in `kubectl explain`."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel


def rule(expression: str, message: str) -> dict[str, str]:
    """A CEL rule: the API server refuses the object, with this message, where the expression is false."""
    return {"rule": expression, "message": message}


def rules(*validations: dict[str, str]) -> dict[str, Any]:
    return {"x-kubernetes-validations": list(validations)}


def keyed_by(*fields: str) -> dict[str, Any]:
    """Of a list: no two items have the same values in these fields, and `kubectl apply` merges the list by them."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(fields)}


def unchanged(field: str) -> str:
    """The CEL expression that a field is as it was before the update."""
    return f"(has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field}))"


class SpecModel(BaseModel):
    """Part of a spec. A field that only another release knows is refused: to pass one over, such as an encryption, would be a lie."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class StatusModel(BaseModel):
    """Part of a status. Fields of another release are left alone."""

    model_config = SpecModel.model_config | {"extra": "ignore"}


ObjectName = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    ),
]
"""The name of an object in the same namespace."""

SecretKey = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]

_PATH = r"^([^/\x00]+(/[^/\x00]+)*)?$"
_INSIDE = "!('/' + self + '/').contains('/../') && !('/' + self + '/').contains('/./')"

SubPath = Annotated[
    str,
    StringConstraints(max_length=255, pattern=_PATH),
    Field(json_schema_extra=rules(rule(_INSIDE, "a subPath is a path inside the claim: relative, without . and .."))),
]

ClaimPath = Annotated[
    str,
    StringConstraints(max_length=1024, pattern=_PATH),
    Field(json_schema_extra=rules(rule(_INSIDE, "a path inside a claim is relative, without . and .."))),
]
"""As long as the path of a bundle in a status can be."""

LabelKey = Annotated[
    str,
    StringConstraints(max_length=317, pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"),
]
LabelValue = Annotated[str, StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]

Quantity = Annotated[
    int | str,
    Field(
        json_schema_extra={
            "x-kubernetes-int-or-string": True,
            "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
            "maxLength": 32,
        }
    ),
]
