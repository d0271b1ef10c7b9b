"""The statements that read the facts about a database. Each gives one JSON object, whose keys are fields of `DatabaseFacts`.

They read catalogs that every role may read, and need no lock on a table of the user but where it says so.
"""

_DATABASE = "(SELECT d.oid FROM pg_database d WHERE d.datname = current_database())"
_OURS = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
_OF_EXTENSION = "EXISTS (SELECT FROM pg_depend e WHERE e.classid = {}::regclass AND e.objid = {} AND e.deptype = 'e')"
SIZE = "SELECT json_build_object('databaseBytes', pg_database_size(current_database()))"

# pg_relation_size opens the index, which takes long for ten thousand of them, and waits for sessions that rebuild it. So only those are asked that
# were the largest when VACUUM or ANALYZE last saw them.
LARGEST_INDEX = """
    SELECT json_build_object('largestIndexBytes', coalesce(max(pg_relation_size(largest.oid)), 0))
    FROM (
        SELECT c.oid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
        WHERE i.indrelid >= 16384 AND c.relkind = 'i' ORDER BY c.relpages DESC, t.relpages DESC LIMIT 100
    ) AS largest
"""

SETTINGS = f"""
    SELECT json_build_object('settings', coalesce(json_agg(json_build_object(
        'name', s.name, 'role', s.role,
        'value', CASE WHEN position('.' IN s.name) = 0 THEN substr(s.item, length(s.name) + 2) END
    ) ORDER BY s.role NULLS FIRST, s.name), '[]'))
    FROM (
        SELECT split_part(item, '=', 1) AS name, item, CASE WHEN r.setrole <> 0 THEN pg_get_userbyid(r.setrole) END AS role
        FROM pg_db_role_setting r, unnest(r.setconfig) AS item WHERE r.setdatabase = {_DATABASE}
    ) AS s
"""

# PostgreSQL records no dependency on a role that is pinned, among them the superuser of initdb, whose oid is always 10. Who owns what belongs to an
# extension is of no interest, since CREATE EXTENSION makes those things.
ROLES = f"""
    WITH used AS (
        SELECT s.refobjid AS role, s.deptype AS use FROM pg_shdepend s
        WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype IN ('o', 'a', 'r')
          AND (s.dbid = {_DATABASE} OR s.dbid = 0 AND s.classid = 'pg_database'::regclass AND s.objid = {_DATABASE})
          AND NOT (s.deptype = 'o' AND {_OF_EXTENSION.format("s.classid", "s.objid")})
        UNION
        SELECT 10, 'o' WHERE
            EXISTS (SELECT FROM pg_class c WHERE c.relowner = 10 AND c.oid >= 16384 AND c.relkind NOT IN ('i', 'I', 't')
                    AND NOT {_OF_EXTENSION.format("'pg_class'", "c.oid")})
            OR EXISTS (SELECT FROM pg_proc p WHERE p.proowner = 10 AND p.oid >= 16384
                       AND NOT {_OF_EXTENSION.format("'pg_proc'", "p.oid")})
            OR EXISTS (SELECT FROM pg_namespace n WHERE n.nspowner = 10 AND n.oid >= 16384 AND {_OURS}
                       AND NOT {_OF_EXTENSION.format("'pg_namespace'", "n.oid")})
            OR EXISTS (SELECT FROM pg_largeobject_metadata l WHERE l.lomowner = 10)
            OR EXISTS (SELECT FROM pg_database d WHERE d.oid = {_DATABASE} AND d.datdba = 10)
    )
    SELECT json_build_object('roles', coalesce(json_agg(json_build_object('name', name, 'uses', uses) ORDER BY name), '[]'))
    FROM (
        SELECT r.rolname AS name, json_agg(DISTINCT CASE u.use WHEN 'o' THEN 'owner' WHEN 'a' THEN 'grantee' ELSE 'policy' END) AS uses
        FROM used u JOIN pg_roles r ON r.oid = u.role GROUP BY r.rolname
    ) AS named
"""

EXTENSIONS = """
    SELECT json_build_object('extensions', coalesce(json_agg(json_build_object(
        'name', e.extname, 'version', e.extversion, 'schemaName', n.nspname) ORDER BY e.extname), '[]'))
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
"""

UNLOGGED_TABLES = f"""
    SELECT json_build_object('unloggedTables', coalesce(json_agg(json_build_object(
        'schemaName', n.nspname, 'name', c.relname) ORDER BY n.nspname, c.relname), '[]'))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND {_OURS}
"""

# Columns of other types, and generated ones, are left alone: to compare, convert or make their values could run code that a role wrote.
FLYWAY_TABLES = f"""
    SELECT n.nspname, format('%I.%I', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = 'flyway_schema_history' AND c.relkind = 'r' AND {_OURS} AND 3 = (
        SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated = ''
          AND (a.attname, a.atttypid::regtype::text)
        IN (('installed_rank', 'integer'), ('version', 'character varying'), ('success', 'boolean')))
    ORDER BY n.nspname <> 'public', n.nspname LIMIT 20
"""
FLYWAY_VERSION = (
    "SELECT version FROM ONLY {} WHERE success AND version IS NOT NULL ORDER BY installed_rank DESC LIMIT 1"
)


def description(server_version: int) -> str:
    """The database's row in pg_database, whose columns are not the same in each version."""
    provider = "d.datlocprovider" if server_version >= 150000 else "'c'"
    return f"""
        SELECT json_build_object(
            'owner', pg_get_userbyid(d.datdba), 'encoding', pg_encoding_to_char(d.encoding),
            'localeProvider', CASE {provider} WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE {provider}::text END,
            'collate', d.datcollate, 'ctype', d.datctype, 'locale', {_locale(server_version)},
            'icuRules', {"d.daticurules" if server_version >= 160000 else "NULL"},
            'collationVersion', {"d.datcollversion" if server_version >= 150000 else "NULL"},
            'connectionLimit', d.datconnlimit, 'comment', shobj_description(d.oid, 'pg_database'),
            'acl', CASE WHEN d.datacl IS NOT NULL THEN coalesce(({_ACL}), '[]') END)
        FROM pg_database d WHERE d.datname = current_database()
    """


def _locale(server_version: int) -> str:
    if server_version >= 170000:
        return "d.datlocale"
    return "d.daticulocale" if server_version >= 150000 else "NULL"


_ACL = """
    SELECT json_agg(json_build_object('grantor', g.grantor, 'grantee', g.grantee, 'isGrantable', g.is_grantable, 'privileges', g.privileges)
                    ORDER BY g.grantee NULLS FIRST, g.grantor, g.is_grantable)
    FROM (SELECT pg_get_userbyid(a.grantor) AS grantor, CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END AS grantee,
                 a.is_grantable, json_agg(a.privilege_type ORDER BY a.privilege_type) AS privileges
          FROM aclexplode(d.datacl) AS a GROUP BY a.grantor, a.grantee, a.is_grantable) AS g
"""
