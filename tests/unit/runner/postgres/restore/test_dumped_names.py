"""Every role and extension that a dump names is known before anything is loaded."""

from quotenode_backup.runner.postgres.dump_head import DumpHead, Entry
from quotenode_backup.runner.postgres.restore.dumped_names import DumpedExtension, extensions, owners, roles


def head(*entries: tuple[str, str, str, str]) -> DumpHead:
    made = tuple(Entry(n, kind, "public", tag, owner, text) for n, (kind, tag, owner, text) in enumerate(entries, 1))
    return DumpHead(b"", "17.10", "17.10", "shop", made)


def test_owners_are_the_roles_that_get_something() -> None:
    found = head(
        ("TABLE", "t", "quotenode", ""),
        ("SCHEMA", "public", "pg_database_owner", ""),
        ("ACL", "TABLE t", "somebody", "GRANT SELECT ON TABLE public.t TO reader;"),
        ("EXTENSION", "pg_trgm", "", ""),
        ("DATABASE", "shop", "postgres", ""),
    )
    assert owners(found) == {"quotenode"}


def test_roles_are_found_in_privileges_and_policies() -> None:
    found = head(
        ("TABLE", "t", "quotenode", ""),
        (
            "ACL",
            "TABLE t",
            "quotenode",
            'REVOKE ALL ON TABLE public.t FROM quotenode;\nGRANT SELECT ON TABLE public.t TO "re""ader TO x";\n'
            "GRANT SELECT(name) ON TABLE public.t TO PUBLIC;\nGRANT ALL ON TABLE public.t TO writer WITH GRANT OPTION;\n",
        ),
        (
            "DEFAULT ACL",
            "d",
            "quotenode",
            "ALTER DEFAULT PRIVILEGES FOR ROLE maker IN SCHEMA public GRANT SELECT ON TABLES  TO taker;",
        ),
        (
            "POLICY",
            "t p",
            "quotenode",
            "CREATE POLICY p ON public.t FOR SELECT TO seer, \"other one\" USING ((a = 'TO nobody'::text));",
        ),
        ("POLICY", "t q", "quotenode", "CREATE POLICY q ON public.t USING (true);"),
        ("ACL", "SCHEMA public", "pg_database_owner", "GRANT ALL ON SCHEMA public TO pg_monitor;"),
    )
    assert roles(found) == {"quotenode", 're"ader TO x', "writer", "maker", "taker", "seer", "other one"}


def test_extensions_are_found_with_their_schemas() -> None:
    found = head(
        ("EXTENSION", "pg_trgm", "", "CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;\n"),
        ("EXTENSION", "uuid-ossp", "", 'CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA "To ols";\n'),
    )
    assert extensions(found) == (DumpedExtension("pg_trgm", "public"), DumpedExtension("uuid-ossp", "To ols"))
