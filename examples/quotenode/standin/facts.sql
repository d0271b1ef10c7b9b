-- What a database is, besides its rows: one query per kind of thing, each giving a name and a description.
-- A line "-- kind: X" starts the query for X. Run with an empty search_path, so that every name comes qualified.

-- kind: relation
SELECT c.oid::regclass::text,
       concat_ws(' | ', c.relkind, pg_get_userbyid(c.relowner), c.relpersistence, c.reloptions::text,
                 (SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE "C") FROM unnest(c.relacl) AS a),
                 pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),
                 (SELECT string_agg(inhparent::regclass::text, ',' ORDER BY inhseqno) FROM pg_inherits WHERE inhrelid = c.oid),
                 c.relrowsecurity, c.relispopulated)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema';

-- kind: column
SELECT c.oid::regclass::text || '.' || quote_ident(a.attname),
       concat_ws(' | ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
                 pg_get_expr(d.adbin, d.adrelid), a.attcollation::regcollation, a.attacl::text, a.attstorage)
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema';

-- kind: constraint
SELECT concat_ws('.', conrelid::regclass::text, quote_ident(conname)), concat_ws(' | ', pg_get_constraintdef(oid), convalidated)
FROM pg_constraint WHERE oid >= 16384;

-- kind: index
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_';

-- kind: view
SELECT oid::regclass::text, pg_get_viewdef(oid) FROM pg_class WHERE relkind IN ('v', 'm') AND oid >= 16384;

-- kind: function
SELECT oid::regprocedure::text, concat_ws(' | ', pg_get_userbyid(proowner), proacl::text, pg_get_functiondef(oid))
FROM pg_proc WHERE oid >= 16384 AND prokind <> 'a';

-- kind: trigger
SELECT tgrelid::regclass::text || '.' || quote_ident(tgname), concat_ws(' | ', pg_get_triggerdef(oid), tgenabled)
FROM pg_trigger WHERE NOT tgisinternal;

-- kind: type
SELECT t.oid::regtype::text,
       concat_ws(' | ', t.typtype, pg_get_userbyid(t.typowner), t.typnotnull, t.typdefault,
                 (SELECT string_agg(quote_literal(enumlabel), ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))
FROM pg_type t WHERE t.oid >= 16384 AND t.typtype IN ('e', 'd', 'r');

-- kind: schema
SELECT quote_ident(nspname), concat_ws(' | ', pg_get_userbyid(nspowner), nspacl::text)
FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema';

-- kind: extension
SELECT quote_ident(extname), extversion FROM pg_extension;

-- kind: comment
SELECT pg_describe_object(classoid, objoid, objsubid), description FROM pg_description WHERE objoid >= 16384;

-- kind: sequence
SELECT seqrelid::regclass::text,
       concat_ws(' | ', seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle,
                 (SELECT min(refobjid::regclass::text) FROM pg_depend
                  WHERE classid = 'pg_class'::regclass AND objid = seqrelid AND deptype IN ('a', 'i')))
FROM pg_sequence;

-- kind: largeobject
SELECT oid::text, concat_ws(' | ', pg_get_userbyid(lomowner), lomacl::text, encode(sha256(lo_get(oid)), 'hex'))
FROM pg_largeobject_metadata;
