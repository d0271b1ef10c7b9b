"""pg_restore and psql get what a load needs, and only the one setting that an older server does not know is left out of their text."""

from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.postgres.clients import Client
from quotenode_backup.runner.postgres.restore.programs import Programs, Section, SettingFilter, choose, in_memory
from quotenode_backup.runner.process.display import Redactor

CLIENTS = [Client(15, Path("/15")), Client(17, Path("/17"))]
HEADER = b"SET lock_timeout = 0;\nSET transaction_timeout = 0;\nSET client_encoding = 'UTF8';\n"


def filtered(*chunks: bytes) -> bytes:
    without = SettingFilter()
    return b"".join([*(bytes(without(memoryview(chunk))) for chunk in chunks), without.end()])


def test_the_setting_is_left_out_wherever_the_text_is_cut() -> None:
    wanted = HEADER.replace(b"SET transaction_timeout = 0;\n", b"")
    for cut in range(len(HEADER)):
        assert filtered(HEADER[:cut], HEADER[cut:]) == wanted


def test_rows_that_look_like_the_setting_stay() -> None:
    rows = b"SET transaction_timeout = 0;\n" * 1000
    assert filtered(HEADER, rows, rows).count(b"SET transaction_timeout = 0;\n") == 2000


@pytest.mark.parametrize(("dump", "client"), [(14, 15), (15, 15), (16, 17), (17, 17)])
def test_the_oldest_client_that_can_read_the_dump_is_chosen(dump: int, client: int) -> None:
    assert choose(dump, CLIENTS).major == client


def test_a_dump_of_a_newer_client_is_refused() -> None:
    with pytest.raises(RunFailed, match="pg_dump 18") as raised:
        choose(18, CLIENTS)
    assert raised.value.reason is Reason.SERVER_TOO_NEW


@pytest.mark.parametrize(
    ("client", "server", "is_direct"),
    [(15, 150004, True), (15, 170000, True), (17, 160002, False), (17, 170010, True), (17, 180000, True)],
)
def test_pg_restore_talks_to_servers_that_know_its_settings(client: int, server: int, is_direct: bool) -> None:
    used = Programs(Client(client, Path("/c")), {}, Redactor(), "qnr_1", server)
    assert used.is_direct is is_direct
    arguments = used.restore([Section.PRE_DATA, Section.DATA]).argv
    assert ("--exit-on-error" in arguments) is is_direct
    assert ("--file=-" in arguments) is not is_direct


def test_a_file_in_memory_can_be_opened_again_and_again() -> None:
    with in_memory(b"head") as descriptor:
        for _ in range(2):
            assert Path(f"/proc/self/fd/{descriptor}").read_bytes() == b"head"
