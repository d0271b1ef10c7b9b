"""Whether writing into a table would run somebody else's code with the rights of the backup's role. Only looks.

PostgreSQL runs a table's triggers, rules, policies and expressions with the rights of whoever writes. The backup's role is often a
superuser, and then whoever may put a trigger on backup_logs could become one too. Writing under SET ROLE to the owner is no remedy: the
same code may RESET ROLE. So a role that does not own the table writes only where nothing but PostgreSQL's own code can run.

Some code is trusted. Event triggers, operator classes and base types can be created by superusers only. The checks of foreign keys run as
the owner of a table, and are harmless as long as they compare PostgreSQL's own types.

The caller must hold a lock that keeps triggers, constraints, indexes and partitions from being added, so that what is found here stays
true until the transaction ends.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from quotenode_backup.runner.postgres.connection import Connection
from quotenode_backup.runner.process.display import escape

OLDEST_SERVER = 14


class Danger(Exception):
    """What on the table can run somebody else's code, as a clause."""


def require_harmless(connection: Connection, oid: int, filled: Iterable[str], key: str, *, is_owned: bool) -> None:
    """`filled` are the columns that we write, and all of them but `key` may change later.

    `is_owned` says that the table is this role's own, a superuser's. Then only a trigger can be somebody else's, since the right to create
    one can be granted, and everything else takes the owner.
    """
    columns = list(filled)
    values = {"table": oid, "filled": columns, "changed": [c for c in columns if c != key], "is_owned": is_owned}
    if trigger := connection.execute(_TRIGGERS, values).fetchone():
        raise Danger(_named(*trigger))
    if is_owned:
        return
    if found := connection.execute(_OTHER_CODE, values).fetchone():
        raise Danger(_named(*found))
    for what, relation, tree in connection.execute(_EXPRESSIONS, values).fetchall():
        if reason := _danger_in(connection, tree):
            raise Danger(f"{_named(what, relation)} {reason}")


def _named(what: str, relation: str | None) -> str:
    """The table itself goes without saying, a partition or child does not."""
    return escape(what, 90) + (f" on {escape(relation, 80)}" if relation else "")


@dataclass(frozen=True, slots=True)
class Mentions:
    """What a stored expression is made of: kinds of nodes, and the numbers of functions, operators and types."""

    nodes: frozenset[str]
    functions: frozenset[int]
    operators: frozenset[int]
    types: frozenset[int]


def mentions(tree: str) -> Mentions:
    """Reads PostgreSQL's own text of an expression. Dependencies are not enough: PostgreSQL does not record those on its own functions,
    and some of them, query_to_xml for one, run any statement that they are given."""
    fields = [(name, int(number)) for name, number in re.findall(r":(\w+) (\d+)", tree)]

    def numbers(names: frozenset[str]) -> frozenset[int]:
        return frozenset(number for name, number in fields if name in names and number)

    nodes = frozenset(re.findall(r"\{(\w+)", tree))
    return Mentions(nodes, numbers(_FUNCTION_FIELDS), numbers(_OPERATOR_FIELDS), numbers(_TYPE_FIELDS))


def _danger_in(connection: Connection, tree: str) -> str | None:
    found = mentions(tree)
    if unknown := sorted(found.nodes - _KNOWN_NODES):
        return f"(with {unknown[0]})"
    values: dict[str, Any] = {
        "functions": sorted(found.functions),
        "operators": sorted(found.operators),
        "types": sorted(found.types),
        "harmless": sorted(_HARMLESS_FUNCTIONS),
    }
    stranger = connection.execute(_STRANGERS, values).fetchone()
    return f"(with {escape(stranger[0], 90)})" if stranger else None


_KNOWN_NODES = frozenset(
    {
        "ARRAYCOERCEEXPR",
        "ARRAYEXPR",
        "BOOLEANTEST",
        "BOOLEXPR",
        "CASEEXPR",
        "CASETESTEXPR",
        "CASEWHEN",
        "COALESCEEXPR",
        "COERCEVIAIO",
        "COLLATEEXPR",
        "CONST",
        "DISTINCTEXPR",
        "FUNCEXPR",
        "NULLIFEXPR",
        "NULLTEST",
        "OPEXPR",
        "RELABELTYPE",
        "SCALARARRAYOPEXPR",
        "SQLVALUEFUNCTION",
        "VAR",
        # These four as PostgreSQL 14 calls them.
        "ARRAY",
        "CASE",
        "COALESCE",
        "WHEN",
    }
)
"""Each of these runs functions and operators that it names by number, or the input and output functions of types that it names."""
_FUNCTION_FIELDS = frozenset({"funcid"})
_OPERATOR_FIELDS = frozenset({"opno"})
"""The server looks up an operator's function anew when it reads the tree; the number that is stored beside it is not used."""
_TYPE_FIELDS = frozenset(
    {
        "array_typeid",
        "casetype",
        "coalescetype",
        "consttype",
        "element_typeid",
        "funcresulttype",
        "opresulttype",
        "resulttype",
        "type",
        "typeId",
        "vartype",
    }
)
_HARMLESS_FUNCTIONS = frozenset(
    {
        "clock_timestamp",
        "now",
        "statement_timestamp",
        "timeofday",
        "transaction_timestamp",
        "date",
        "date_trunc",
        "time",
        "timestamp",
        "timestamptz",
        "to_char",
        "gen_random_uuid",
        "nextval",
        "random",
        "uuidv4",
        "uuidv7",
    }
)
"""Of PostgreSQL's own functions that are not immutable, those that default values are made of."""

# The table, its partitions and whatever inherits from it. The table itself goes without a name.
_TREE = """
    WITH RECURSIVE tree AS (
        SELECT %(table)s::oid AS relid
        UNION SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.relid
    ), relations AS (
        SELECT c.*, CASE WHEN c.oid <> %(table)s::oid THEN c.oid::regclass::text END AS name
        FROM tree JOIN pg_class c ON c.oid = tree.relid
    ), keyed AS (
        SELECT relid FROM tree
        UNION SELECT i.inhparent FROM pg_inherits i JOIN keyed ON i.inhrelid = keyed.relid
    )
"""
# Holds for enums, for what is PostgreSQL's own, and for arrays of either. A domain's checks can be changed without a lock on the table.
_IS_PLAIN = """EXISTS (
    SELECT FROM pg_type self
    JOIN pg_type t ON t.oid = CASE WHEN self.typcategory = 'A' AND self.typelem <> 0 THEN self.typelem ELSE self.oid END
    WHERE self.oid = {} AND (t.typtype = 'e' OR t.typnamespace = 'pg_catalog'::regnamespace))"""
_TRIGGERS = f"""{_TREE}
    SELECT format('trigger %%I', t.tgname), r.name
    FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
      AND NOT (%(is_owned)s AND t.tgqual IS NULL AND EXISTS (SELECT FROM pg_roles o WHERE o.oid = p.proowner AND o.rolsuper))
    ORDER BY r.name NULLS FIRST, t.tgname LIMIT 1
"""
# The update of a key that others refer to by ON UPDATE CASCADE changes their rows, and what that defers runs as us when we commit.
_OTHER_CODE = f"""{_TREE}
    SELECT format('rule %%I', w.rulename), r.name FROM relations r JOIN pg_rewrite w ON w.ev_class = r.oid
    UNION ALL
    SELECT 'row-level security', r.name FROM relations r WHERE row_security_active(r.oid)
    UNION ALL
    SELECT 'the foreign data wrapper', r.name FROM relations r WHERE r.relkind NOT IN ('r', 'p')
    UNION ALL
    SELECT format('column %%I of type %%s', a.attname, format_type(a.atttypid, NULL)), r.name
    FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND NOT {_IS_PLAIN.format("a.atttypid")}
      AND NOT (t.typname = 'citext' AND t.typtype = 'b')
    UNION ALL
    SELECT format('foreign key %%I', k.conname), r.name
    FROM relations r JOIN pg_constraint k ON r.oid IN (k.conrelid, k.confrelid) AND k.contype = 'f'
    JOIN pg_attribute a ON (a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey)) OR (a.attrelid = k.confrelid AND a.attnum = ANY(k.confkey))
    JOIN pg_type t ON t.oid = a.atttypid
    WHERE t.typnamespace <> 'pg_catalog'::regnamespace
       OR k.confupdtype NOT IN ('a', 'r') AND r.oid = k.confrelid AND a.attrelid = r.oid
          AND (a.attname = ANY(%(changed)s) OR r.relispartition)
    LIMIT 1
"""
# A row that goes into a partition is also checked against the keys of the tables above it.
_EXPRESSIONS = f"""{_TREE}
    SELECT format('constraint %%I', k.conname), r.name, k.conbin::text
    FROM relations r JOIN pg_constraint k ON k.conrelid = r.oid WHERE k.conbin IS NOT NULL
    UNION ALL
    SELECT format(CASE a.attgenerated WHEN '' THEN 'default of column %%I' ELSE 'generated column %%I' END, a.attname), r.name, d.adbin::text
    FROM relations r JOIN pg_attrdef d ON d.adrelid = r.oid JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = d.adnum
    WHERE a.attgenerated <> '' OR a.attname <> ALL(%(filled)s)
    UNION ALL
    SELECT format('index %%I', c.relname), r.name, concat(i.indexprs::text, i.indpred::text)
    FROM relations r JOIN pg_index i ON i.indrelid = r.oid JOIN pg_class c ON c.oid = i.indexrelid
    UNION ALL
    SELECT 'the partition key', p.partrelid::regclass::text, p.partexprs::text
    FROM keyed JOIN pg_partitioned_table p ON p.partrelid = keyed.relid WHERE p.partexprs IS NOT NULL
    UNION ALL
    SELECT format('statistics %%I', s.stxname), r.name, s.stxexprs::text
    FROM relations r JOIN pg_statistic_ext s ON s.stxrelid = r.oid WHERE s.stxexprs IS NOT NULL
"""
_STRANGERS = f"""
    SELECT format('function %%s', named.oid::regprocedure) FROM unnest(%(functions)s::oid[]) AS named(oid)
    WHERE NOT EXISTS (SELECT FROM pg_proc f WHERE f.oid = named.oid AND f.pronamespace = 'pg_catalog'::regnamespace
                                            AND (f.provolatile = 'i' OR f.proname = ANY(%(harmless)s)))
    UNION ALL
    SELECT format('operator %%s', named.oid::regoperator) FROM unnest(%(operators)s::oid[]) AS named(oid)
    WHERE NOT EXISTS (SELECT FROM pg_operator o JOIN pg_proc f ON f.oid = o.oprcode
                      WHERE o.oid = named.oid AND f.pronamespace = 'pg_catalog'::regnamespace AND f.provolatile = 'i')
    UNION ALL
    SELECT format('type %%s', format_type(named.oid, NULL)) FROM unnest(%(types)s::oid[]) AS named(oid)
    WHERE NOT {_IS_PLAIN.format("named.oid")}
    LIMIT 1
"""
