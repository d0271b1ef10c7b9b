"""Whether a write into a table would run another role's code with the privileges of the backup's role. Nothing is changed here.

PostgreSQL runs the triggers, rules, policies and expressions of a table with the privileges of the role that writes. The backup's role is often a
superuser, so any role that may create a trigger on backup_logs could become one too. SET ROLE to the owner before the write does not help: the code
may RESET ROLE. So a role that does not own the table writes only if nothing but PostgreSQL's own code can run.

Some code is trusted. Only superusers can create event triggers, operator classes and base types. The checks of foreign keys run as the owner of a
table, and are harmless as long as they compare PostgreSQL's own types.

The caller must hold a lock that prevents new triggers, constraints, indexes and partitions, so that the answer stays true until the transaction ends.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from quotenode_backup.runner.postgres.connection import Connection
from quotenode_backup.runner.process.display import escape

OLDEST_SERVER = 14


class ForeignCode(Exception):
    """What on the table can run another role's code. The message is a clause."""


def require_harmless(connection: Connection, oid: int, filled: Iterable[str], key: str, *, is_owned: bool) -> None:
    """Raises ForeignCode. `filled`: the columns that are written. All of them but `key` may be updated later.

    `is_owned`: the table belongs to this role, which is a superuser. Then only a trigger can be another role's, since the privilege to create one can
    be granted. Everything else takes the owner.
    """
    columns = list(filled)
    values = {"table": oid, "filled": columns, "changed": [c for c in columns if c != key], "is_owned": is_owned}
    if trigger := connection.execute(_TRIGGERS, values).fetchone():
        raise ForeignCode(_named(*trigger))
    if is_owned:
        return
    if found := connection.execute(_OTHER_CODE, values).fetchone():
        raise ForeignCode(_named(*found))
    for what, relation, tree in connection.execute(_EXPRESSIONS, values).fetchall():
        if reason := _foreign_code_in(connection, tree):
            raise ForeignCode(f"{_named(what, relation)} {reason}")


def _named(what: str, relation: str | None) -> str:
    """`relation`: a partition or child of the table, or None for the table itself, which is not named."""
    return escape(what, 90) + (f" on {escape(relation, 80)}" if relation else "")


@dataclass(frozen=True, slots=True)
class References:
    """What a stored expression refers to: kinds of nodes, and the OIDs of functions, operators and types."""

    nodes: frozenset[str]
    functions: frozenset[int]
    operators: frozenset[int]
    types: frozenset[int]


def references_in(tree: str) -> References:
    """Reads the text form in which PostgreSQL stores an expression.

    pg_depend is not enough: it has no dependencies on PostgreSQL's own functions, and some of those, such as query_to_xml, run any statement that
    they are given.
    """
    fields = [(name, int(number)) for name, number in re.findall(r":(\w+) (\d+)", tree)]

    def numbers(names: frozenset[str]) -> frozenset[int]:
        return frozenset(number for name, number in fields if name in names and number)

    nodes = frozenset(re.findall(r"\{(\w+)", tree))
    return References(nodes, numbers(_FUNCTION_FIELDS), numbers(_OPERATOR_FIELDS), numbers(_TYPE_FIELDS))


def _foreign_code_in(connection: Connection, tree: str) -> str | None:
    found = references_in(tree)
    if unknown := sorted(found.nodes - _KNOWN_NODES):
        return f"(with {unknown[0]})"
    values: dict[str, Any] = {
        "functions": sorted(found.functions),
        "operators": sorted(found.operators),
        "types": sorted(found.types),
        "harmless": sorted(_HARMLESS_FUNCTIONS),
    }
    foreign = connection.execute(_NOT_POSTGRESQLS_OWN, values).fetchone()
    return f"(with {escape(foreign[0], 90)})" if foreign else None


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
        # PostgreSQL 14 calls four of them by these names.
        "ARRAY",
        "CASE",
        "COALESCE",
        "WHEN",
    }
)
"""Each of these runs functions and operators that it refers to by OID, or the input and output functions of types that it refers to."""
_FUNCTION_FIELDS = frozenset({"funcid"})
_OPERATOR_FIELDS = frozenset({"opno"})
"""The server looks up the function of an operator when it reads the tree. The OID of the function that is stored beside it is not used."""
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
"""PostgreSQL's own functions that are not immutable, and that default values commonly call."""

# The table, its partitions and all that inherit from it. The name of the table itself is NULL.
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
# True for enums, for PostgreSQL's own types, and for arrays of either. Not for domains: their checks can be changed without a lock on the table.
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
# To update a key that other tables refer to with ON UPDATE CASCADE changes their rows too. Deferred triggers on those run with our privileges when
# we commit.
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
# A row that is inserted into a partition is also checked against the partition keys of the tables above it.
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
_NOT_POSTGRESQLS_OWN = f"""
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
