"""Which roles and extensions a dump names: by the owners of its entries, and by its statements for privileges and policies."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from quotenode_backup.runner.postgres.dump_head import DumpHead, Entry

_NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)'
_GRANTEES = re.compile(rf"\b(?:TO|FROM|FOR ROLE) ((?:GROUP )?{_NAME}(?:, {_NAME})*)")
_WITHOUT_TEXTS = re.compile(r"'(?:[^']|'')*'")
_POLICY_ROLES = re.compile(
    rf"CREATE POLICY {_NAME} ON {_NAME}\.{_NAME}(?: AS RESTRICTIVE)?(?: FOR \w+)?(?: TO ({_NAME}(?:, {_NAME})*))?"
)
_SCHEMA = re.compile(rf"WITH SCHEMA ({_NAME});")
_OWNERLESS = {"ACL", "COMMENT", "DEFAULT ACL", "SECURITY LABEL", "EXTENSION", "DATABASE", "DATABASE PROPERTIES"}
"""Kinds of entries whose owner is not made an owner of anything by a restore."""
_BUILT_IN = {"PUBLIC", "pg_database_owner", ""}


@dataclass(frozen=True, slots=True)
class DumpedExtension:
    name: str
    schema: str


def extensions(head: DumpHead) -> tuple[DumpedExtension, ...]:
    return tuple(DumpedExtension(entry.tag, _schema(entry)) for entry in head.of_kind("EXTENSION"))


def owners(head: DumpHead) -> frozenset[str]:
    """The roles that a restore makes owners."""
    return frozenset(entry.owner for entry in head.entries if entry.kind not in _OWNERLESS) - _BUILT_IN


def roles(head: DumpHead) -> frozenset[str]:
    """Every role that must exist, but for PostgreSQL's own."""
    found = {*owners(head), *(role for entry in head.entries for role in _named(entry))} - _BUILT_IN
    return frozenset(role for role in found if not role.startswith("pg_"))


def _named(entry: Entry) -> Iterator[str]:
    match entry.kind:
        case "ACL" | "DEFAULT ACL":
            for names in _GRANTEES.findall(_WITHOUT_TEXTS.sub("''", entry.definition)):
                yield from _unquoted(names)
        case "POLICY":
            if found := _POLICY_ROLES.match(entry.definition):
                yield from _unquoted(found[1] or "")


def _unquoted(names: str) -> Iterator[str]:
    for found in re.findall(_NAME, names.removeprefix("GROUP ")):
        yield found[1:-1].replace('""', '"') if found.startswith('"') else found


def _schema(entry: Entry) -> str:
    found = _SCHEMA.search(entry.definition)
    return next(_unquoted(found[1])) if found else "public"
