"""The head of a dump is read in every version of the format that is known, and nothing else is taken for one."""

from collections.abc import Iterator, Sequence

import pytest

from quotenode_backup.runner.postgres.dump_head import Entry, NotADump, read_head

ENTRIES = (
    Entry(5, "EXTENSION", "", "pg_trgm", "", "CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;\n"),
    Entry(217, "TABLE", 'o"dd\nname', "it's", "quo te", "CREATE TABLE …;\n"),
    Entry(3400, "TABLE DATA", "public", "customers", "quotenode", ""),
)
VERSIONS = [(1, 14), (1, 15), (1, 16)]


class Writer:
    """Writes a head as pg_dump does."""

    def __init__(self, version: tuple[int, int]) -> None:
        self._version, self._out = version, bytearray()

    def head(self, entries: Sequence[Entry], server: str = "17.10 (Debian 17.10-1)", client: str = "17.10") -> bytes:
        self._out += b"PGDMP" + bytes([*self._version, 0, 4, 8, 1])
        if self._version >= (1, 15):
            self._out += b"\x03"
        else:
            self._int(-1)
        for number in (
            59,
            59,
            23,
            30,
            10,
            126,
            0,
        ):
            self._int(number)
        for text in ("shop", server, client):
            self._text(text)
        self._int(len(entries))
        for entry in entries:
            self._entry(entry)
        return bytes(self._out)

    def _entry(self, entry: Entry) -> None:
        self._int(entry.dump_id)
        self._int(0)
        for text in ("1259", "16385", entry.tag, entry.kind):
            self._text(text)
        self._int(2)
        for optional in (entry.definition, "DROP …", None, entry.schema or None, "", "heap"):
            self._text(optional)
        if self._version >= (1, 16):
            self._int(114)
        for optional in (entry.owner, "false", "3", "4", None):
            self._text(optional)
        self._out += b"\x01" + bytes(8)

    def _int(self, number: int) -> None:
        self._out += bytes([number < 0]) + abs(number).to_bytes(4, "little")

    def _text(self, text: str | None) -> None:
        if text is None:
            return self._int(-1)
        data = text.encode("utf-8", "surrogateescape")
        self._int(len(data))
        self._out += data
        return None


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
def test_the_head_ends_where_the_data_begins(version: tuple[int, int], size: int) -> None:
    raw = Writer(version).head(ENTRIES)
    dump = raw + b"data" * 50_000
    head, read = read_head(pieces(dump, size))
    assert head.raw == raw
    assert head.entries == ENTRIES
    assert (head.server_major, head.client_major, head.database) == (17, 17, "shop")
    assert dump.startswith(read)


def test_a_head_that_is_longer_than_the_first_look_is_read() -> None:
    many = [Entry(n, "TABLE", "public", f"t{n}", "quotenode", "CREATE TABLE …;\n" * 20) for n in range(1, 3000)]
    head, _ = read_head(pieces(Writer((1, 16)).head(many) + bytes(10), 1 << 16))
    assert len(head.entries) == 2999


def test_names_that_are_not_utf_8_are_kept() -> None:
    odd = Entry(1, "TABLE", "public", b"\xe4".decode("utf-8", "surrogateescape"), "o", "")
    assert read_head(iter([Writer((1, 14)).head([odd])]))[0].entries == (odd,)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_head_that_is_cut_anywhere_is_refused(version: tuple[int, int]) -> None:
    raw = Writer(version).head(ENTRIES)
    for length in range(len(raw)):
        with pytest.raises(NotADump):
            read_head(iter([raw[:length]]))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"-- PostgreSQL database dump", "custom format"),
        (b"PGDMP\x01\x11\x00\x04\x08\x01" + bytes(100), "version 1.17"),
        (b"PGDMP\x01\x0e\x00\x04\x08\x03" + bytes(100), "custom format"),
        (b"PGDMP\x01\x0e\x00\x00\x08\x01" + bytes(100), "custom format"),
        (Writer((1, 16)).head([], server="beta"), "version of PostgreSQL"),
    ],
)
def test_anything_else_is_not_a_dump(content: bytes, problem: str) -> None:
    with pytest.raises(NotADump, match=problem):
        _ = read_head(iter([content]))[0].server_major
