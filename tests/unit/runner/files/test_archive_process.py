"""What the runner makes of the child that archives the files. Child and igzip are scripts here; the real ones run in the image."""

import os
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.files.archive_process import FilesArchive
from quotenode_backup.runner.process.display import Redactor
from tests.unit.fakes.site import make_mounts, make_plan

DONE = '{"done": {"files": 2, "bytes": 5}}'


class Written:
    size = 0

    def write(self, data: memoryview) -> None:
        self.size += len(data)


def archive(root: Path, report: str) -> FilesArchive:
    """`report`: what the child reports before it ends as if all were well."""
    package = root / "quotenode_backup"
    package.mkdir()
    (package / "__main__.py").write_text(f"import os, sys\nos.write(int(sys.argv[2]), {report.encode()!r})\n")
    (root / "igzip").write_text("#!/bin/sh\ncat\n")
    (root / "igzip").chmod(0o755)
    environment = {"PATH": f"{root}:/usr/bin:/bin", "PYTHONPATH": str(root)}
    return FilesArchive(Written(), make_plan(), make_mounts(root / "pod"), environment, Redactor())


def test_an_archive_that_reports_what_is_in_it_is_whole(tmp_path: Path) -> None:
    files = archive(tmp_path, DONE)
    files.start()
    files.run()
    assert (files.account.files, files.account.bytes) == (2, 5)


@pytest.mark.parametrize("report", ["", '{"progress": {"files": 1, "bytes": 5}}\n', DONE[:-1]])
def test_an_archive_whose_last_report_is_missing_is_a_failure(tmp_path: Path, report: str) -> None:
    files = archive(tmp_path, report)
    files.start()
    with pytest.raises(RunFailed, match="ended without the report") as failure:
        files.run()
    assert failure.value.reason is Reason.IO_ERROR


def test_no_report_is_waited_for_if_a_program_cannot_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pipe is closed."""
    pipe, opened = os.pipe, list[int]()

    def remembered() -> tuple[int, int]:
        opened.extend(ends := pipe())
        return ends

    monkeypatch.setattr(os, "pipe", remembered)
    files = archive(tmp_path, DONE)
    (tmp_path / "igzip").unlink()
    with pytest.raises(RunFailed, match="igzip cannot be started"):
        files.start()
    reading, writing = opened[:2]
    for descriptor in (reading, writing):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
