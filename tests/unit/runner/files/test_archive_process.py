"""What the runner makes of the child that archives the files. The child is a script here; the real one has tests of its own."""

import errno
import os
import sys
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.files.archive_process import FilesArchive
from quotenode_backup.runner.process.display import Redactor
from tests.unit.fakes.site import make_mounts, make_plan

DONE = '{"done": {"files": 2, "bytes": 5}}'


INDEX = "the index"


class Written:
    def __init__(self, room: int = 1 << 20) -> None:
        self.size, self._room = 0, room

    def write(self, data: memoryview) -> None:
        if self.size + len(data) > self._room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.size += len(data)


def archive(root: Path, report: str, index: Written | None = None) -> FilesArchive:
    """`report`: what the child reports before it ends as if all were well."""
    package = root / "quotenode_backup"
    package.mkdir()
    written = f"os.write(int(sys.argv[2]), {report.encode()!r})\nos.write(int(sys.argv[3]), {INDEX.encode()!r})"
    (package / "__main__.py").write_text(f"import os, sys\n{written}\n")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root)}
    return FilesArchive(Written(), index or Written(), make_plan(), make_mounts(root / "pod"), environment, Redactor())


def test_an_archive_that_reports_what_is_in_it_is_whole(tmp_path: Path) -> None:
    files = archive(tmp_path, DONE)
    files.start()
    files.run()
    assert (files.account.files, files.account.bytes) == (2, 5)


def test_all_of_the_index_is_stored_when_the_archive_is(tmp_path: Path) -> None:
    index = Written()
    files = archive(tmp_path, DONE, index)
    files.start()
    files.run()
    assert index.size == len(INDEX)


def test_an_index_that_finds_no_room_fails_the_archive_with_that_error(tmp_path: Path) -> None:
    files = archive(tmp_path, DONE, Written(room=len(INDEX) - 1))
    files.start()
    with pytest.raises(OSError, match="No space left") as failure:
        files.run()
    assert failure.value.errno == errno.ENOSPC


@pytest.mark.parametrize("report", ["", '{"progress": {"files": 1, "bytes": 5}}\n', DONE[:-1]])
def test_an_archive_whose_last_report_is_missing_is_a_failure(tmp_path: Path, report: str) -> None:
    files = archive(tmp_path, report)
    files.start()
    with pytest.raises(RunFailed, match="ended without the report") as failure:
        files.run()
    assert failure.value.reason is Reason.IO_ERROR


def test_nothing_is_left_open_if_the_program_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, opened = os.pipe, list[int]()

    def remembered() -> tuple[int, int]:
        opened.extend(ends := pipe())
        return ends

    monkeypatch.setattr(os, "pipe", remembered)
    files = archive(tmp_path, DONE)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(RunFailed, match="cannot be started"):
        files.start()
    reports_and_index = opened[:4]
    for descriptor in reports_and_index:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
