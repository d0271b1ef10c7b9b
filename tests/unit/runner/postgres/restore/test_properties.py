"""The settings and privileges of a database are copied by statements in which no name or value can be anything else."""

import pytest
from psycopg import sql

from quotenode_backup.runner.postgres.restore.databases import Locale
from quotenode_backup.runner.postgres.restore.properties import Grant, Properties, Setting, split_list, statements
from quotenode_backup.runner.postgres.restore.scratch import Like, create_statement

NOTHING = Properties(-1, (), ())


def written(composed: sql.Composed) -> str:
    return composed.as_string(None)


def copied(wanted: Properties, present: Properties = NOTHING, target: str = "qnr_1") -> list[str]:
    return [written(one) for one in statements(wanted, present, target)]


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("", []),
        ("public", ["public"]),
        ('"$user", public', ["$user", "public"]),
        ('"a, b","c ""d""" , e', ["a, b", 'c "d"', "e"]),
        ('""', [""]),
    ],
)
def test_a_list_of_names_is_split_as_postgresql_does(value: str, names: list[str]) -> None:
    assert split_list(value) == names


def test_settings_are_copied_with_their_values() -> None:
    settings = (
        Setting(None, "search_path", '"$user", public'),
        Setting(None, "app.theme", "dark, light"),
        Setting('o"wner', "work_mem", "it's"),
        Setting(None, "search_path", ""),
    )
    assert copied(Properties(-1, settings, ()))[:4] == [
        """ALTER DATABASE "qnr_1" SET "search_path" TO '$user', 'public'""",
        """ALTER DATABASE "qnr_1" SET "app.theme" TO 'dark, light'""",
        """ALTER ROLE "o""wner" IN DATABASE "qnr_1" SET "work_mem" TO 'it''s'""",
        """ALTER DATABASE "qnr_1" SET "search_path" TO ''""",
    ]


def test_what_the_copy_has_of_its_own_is_taken_away_first() -> None:
    present = Properties(-1, (Setting("r", "work_mem", "1"),), (Grant("admin", "CONNECT", is_grantable=False),))
    assert copied(
        Properties(7, (), (Grant(None, "CONNECT", is_grantable=False), Grant("m", "CREATE", is_grantable=True))),
        present,
    ) == [
        'ALTER ROLE "r" IN DATABASE "qnr_1" RESET ALL',
        'REVOKE ALL ON DATABASE "qnr_1" FROM PUBLIC',
        'REVOKE ALL ON DATABASE "qnr_1" FROM "admin"',
        'GRANT CONNECT ON DATABASE "qnr_1" TO PUBLIC',
        'GRANT CREATE ON DATABASE "qnr_1" TO "m" WITH GRANT OPTION',
        'ALTER DATABASE "qnr_1" CONNECTION LIMIT 7',
    ]


@pytest.mark.parametrize(
    ("version", "locale", "options"),
    [
        (140000, Locale("UTF8", "C", "de_DE"), ""),
        (150000, Locale("UTF8", "C", "de_DE"), 'LOCALE_PROVIDER "libc" '),
        (150000, Locale("UTF8", "C", "de_DE", "i", "de"), "LOCALE_PROVIDER \"icu\" ICU_LOCALE 'de' "),
        (
            160000,
            Locale("UTF8", "C", "de_DE", "i", "de", "&a<b"),
            "LOCALE_PROVIDER \"icu\" ICU_LOCALE 'de' ICU_RULES '&a<b' ",
        ),
        (170000, Locale("UTF8", "C", "de_DE", "b", "C.UTF-8"), "LOCALE_PROVIDER \"builtin\" BUILTIN_LOCALE 'C.UTF-8' "),
    ],
)
def test_a_copy_has_the_locale_of_the_live_database(version: int, locale: Locale, options: str) -> None:
    assert written(create_statement("qnr_1", Like('o"', "fast", locale), version)) == (
        """CREATE DATABASE "qnr_1" TEMPLATE template0 ALLOW_CONNECTIONS false OWNER "o\"\"" ENCODING 'UTF8' LC_COLLATE 'C' """
        f"""LC_CTYPE 'de_DE' {options}TABLESPACE "fast\""""
    )


def test_the_default_tablespace_is_not_named() -> None:
    like = Like("o", "pg_default", Locale("UTF8", "C", "C"))
    assert "TABLESPACE" not in written(create_statement("qnr_1", like, 140000))
