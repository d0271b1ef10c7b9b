"""The statement that lists what a dump relies on: tables, types and functions, each with a signature that changes when they do."""

# pg_dump finds objects through its snapshot, but then asks for many of them by name, or as they are at that moment. So the signatures contain the
# names. Those of tables also contain the file, the columns (two columns may have swapped their names) and the parents (a partition may have been
# moved). Sequences and materialized views are left out: pg_dump reads the current values of a sequence, and no rows of a materialized view. Names
# come as bytes, since in a database with encoding SQL_ASCII they may be anything.
_OURS = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
_NAME = "convert_to(format('%I.%I', n.nspname, {}), getdatabaseencoding())"
_OF_EXTENSION = (
    "EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{0}'::regclass AND d.objid = {1}.oid AND d.deptype = 'e')"
)
STATEMENT = f"""
    SELECT 'table', c.oid, {_NAME.format("c.relname")}, hashtextextended(
        format('%s %s %L %L ', c.relfilenode, c.relkind, n.nspname, c.relname) || coalesce(
            (SELECT string_agg(format('%s %L %s', a.attnum, a.attname, a.atttypid), ' ' ORDER BY a.attnum)
             FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '') || coalesce(
            (SELECT string_agg(format(' in %s', i.inhparent), '' ORDER BY i.inhseqno)
             FROM pg_inherits i WHERE i.inhrelid = c.oid), '') COLLATE "C", 0),
        {_OF_EXTENSION.format("pg_class", "c")}
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {_OURS}
    UNION ALL
    SELECT 'type', t.oid, {_NAME.format("t.typname")}, hashtextextended(
        format('%L %L ', n.nspname, t.typname) || coalesce(
            (SELECT string_agg(format('%L', e.enumlabel), ' ' ORDER BY e.enumsortorder)
             FROM pg_enum e WHERE e.enumtypid = t.oid), '') COLLATE "C", 0), t.typtype = 'e'
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype IN ('e', 'd', 'r') AND {_OURS}
    UNION ALL
    SELECT 'function', p.oid, {_NAME.format("p.proname")}, hashtextextended(
        format('%L %L', n.nspname, p.proname) COLLATE "C", 0), false
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE {_OURS} AND NOT {_OF_EXTENSION.format("pg_proc", "p")}
"""
