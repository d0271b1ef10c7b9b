"""What the real archive writes comes back, whatever the tree is."""

import gzip
import os
import random
import shutil
import stat
import subprocess
import tarfile
import zlib
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.files.archive_check import Tally, require_tally
from quotenode_backup.runner.files.extract import extract, scan
from quotenode_backup.runner.files.gunzip import gunzipped
from tests.unit.runner.files.restoring import (
    UNLIMITED,
    archive_of,
    entry,
    extracted,
    forged,
    names,
    opened,
    scanned,
    stream,
)

ANY_BYTE = [byte for byte in range(1, 256) if byte != ord("/")]


class Tree:
    """A tree of every oddity, the same for the same seed."""

    def __init__(self, root: Path, seed: int) -> None:
        self._random = random.Random(seed)
        self._files: list[Path] = []
        root.mkdir()
        self._folder(root, 0)

    def _name(self) -> bytes:
        length = self._random.choice([1, 2, 8, 30, 99, 100, 101, 200, 255])
        name = bytes(self._random.choices(ANY_BYTE, k=length))
        return b"x" if name in (b".", b"..") else name

    def _folder(self, folder: Path, depth: int) -> None:
        for name in {self._name() for _ in range(self._random.randint(0, 7))}:
            self._entry(folder / os.fsdecode(name), depth)

    def _entry(self, path: Path, depth: int) -> None:
        kind = self._random.choice(["folder", "file", "file", "link", "hard link"])
        if kind == "folder" and depth < 6:
            path.mkdir()
            self._folder(path, depth + 1)
            self._finish(path, self._random.choice([0o755, 0o700, 0o555, 0o000, 0o1777, 0o2775]))
        elif kind == "link":
            target = self._random.choice([b"nowhere", b"/etc/passwd", b"../../..", b".", self._name() * 10])
            path.symlink_to(os.fsdecode(target))
            self._time(path)
        elif kind == "hard link" and self._files:
            path.hardlink_to(self._random.choice(self._files))
        else:
            self._file(path)

    def _file(self, path: Path) -> None:
        size = self._random.choice([0, 1, 511, 512, 513, 4096, 100_000, 1 << 20])
        path.write_bytes(self._random.randbytes(size))
        self._files.append(path)
        self._finish(path, self._random.choice([0o644, 0o600, 0o000, 0o444, 0o755, 0o1644]))

    def _finish(self, path: Path, mode: int) -> None:
        os.chown(path, self._random.choice([0, 1000, 3_000_000]), self._random.choice([0, 33]))
        path.chmod(mode)
        self._time(path)

    def _time(self, path: Path) -> None:
        moment = self._random.choice(
            [0, 1, -1, -1_500_000_001, 1_750_000_000_123_456_789, self._random.randint(-(2**60), 2**60)]
        )
        os.utime(path, ns=(moment, moment), follow_symlinks=False)


def facts(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that a restore brings back, and which names are of one file."""
    first: dict[int, str] = {}
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        seen, name = path.lstat(), str(path.relative_to(folder))
        found[name] = (seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns)
        if stat.S_ISLNK(seen.st_mode):
            found[name] += (os.readlink(path),)  # noqa: PTH115 - Path.readlink would tidy the target up
        if stat.S_ISREG(seen.st_mode):
            found[name] += (path.read_bytes(), first.setdefault(seen.st_ino, name), seen.st_nlink)
    return found


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.skipif(os.geteuid() != 0, reason="owners are set by root alone")
def test_all_that_backup_writes_comes_back(tmp_path: Path, seed: int) -> None:
    Tree(tmp_path / "source", seed)
    tar, counted = archive_of({".": tmp_path / "source"})
    assert scanned(tar, most=counted).total == counted
    assert extracted(tar, tmp_path / "out", counted).total == counted
    assert facts(tmp_path / "out") == facts(tmp_path / "source")


def test_each_source_goes_to_its_own_target(tmp_path: Path) -> None:
    for name in ("images", "offers", "out-images", "out-offers"):
        (tmp_path / name).mkdir()
    (tmp_path / "images" / "logo").write_bytes(b"logo")
    (tmp_path / "offers" / "1.pdf").write_bytes(b"%PDF")
    tar, counted = archive_of({"images": tmp_path / "images", "offers": tmp_path / "offers"})
    with opened(images=tmp_path / "out-images", offers=tmp_path / "out-offers") as targets:
        found = extract(stream(tar), list(targets), targets, counted)
    assert found.tallies == {"images": Tally(1, 0, 0, 4), "offers": Tally(1, 0, 0, 4)}
    assert facts(tmp_path / "out-images") == facts(tmp_path / "images")
    assert facts(tmp_path / "out-offers") == facts(tmp_path / "offers")


def test_a_source_without_a_target_is_checked_and_not_written(tmp_path: Path) -> None:
    for name in ("images", "offers", "out"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x" * (name != "out"))
    (tmp_path / "out" / "file").unlink()
    tar, counted = archive_of({"images": tmp_path / "images", "offers": tmp_path / "offers"})
    with opened(offers=tmp_path / "out") as targets:
        found = extract(stream(tar), ["images", "offers"], targets, counted)
    assert found.total == counted
    assert names(tmp_path / "out") == ["file"]


def test_a_tree_deeper_than_recursion_and_than_the_longest_path_comes_back(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    depth, folder = 1100, os.open(tmp_path / "source", os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a-long-name", dir_fd=folder)
        below = os.open("a-long-name", os.O_RDONLY, dir_fd=folder)
        os.utime(below, ns=(5, 5))
        os.close(folder)
        folder = below
    os.close(folder)
    tar, counted = archive_of({".": tmp_path / "source"})
    assert extracted(tar, tmp_path / "out").total == counted == Tally(folders=depth)
    subprocess.run(["rm", "-rf", tmp_path / "source", tmp_path / "out"], check=True)


def test_what_gnu_tar_writes_by_itself_is_read_too(tmp_path: Path) -> None:
    """QuoteNode's own backups are made by it."""
    Tree(tmp_path / "source", 7)
    for form in ("gnu", "pax", "ustar"):
        command = ["tar", f"--format={form}", "-cf", "-", "-C", str(tmp_path / "source"), "."]
        tar = subprocess.run(command, capture_output=True, check=False).stdout
        out = tmp_path / form
        extracted(tar, out)
        reference = tmp_path / f"{form}-by-tar"
        reference.mkdir()
        subprocess.run(["tar", "-xpf", "-", "-C", reference], input=tar, capture_output=True, check=True)
        assert facts(out) == facts(reference)


def test_folders_that_have_no_entry_are_made(tmp_path: Path) -> None:
    extracted(forged((entry("a/b/c"), b"x"), entry("a", tarfile.DIRTYPE, mode=0o700)), tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out" / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "out" / "a" / "b").stat().st_mode) == 0o755
    assert (tmp_path / "out" / "a" / "b" / "c").read_bytes() == b"x"


def test_set_id_bits_of_files_are_dropped(tmp_path: Path) -> None:
    extracted(forged(entry("program", mode=0o6755)), tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out" / "program").stat().st_mode) == 0o755


def test_the_folders_of_other_restores_are_left_out(tmp_path: Path) -> None:
    """A backup that was made while replaced files were kept may hold them."""
    tar = forged(entry(".quotenode-restore-1", tarfile.DIRTYPE), entry(".quotenode-restore-1/old"), entry("kept"))
    assert extracted(tar, tmp_path / "out").left_out == 2
    assert names(tmp_path / "out") == ["kept"]


def test_a_hard_link_between_volumes_is_one_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    tar = forged((entry("a/one"), b"content"), entry("b/two", tarfile.LNKTYPE, linkname="a/one"))
    with opened(a=tmp_path / "a", b=tmp_path / "b") as targets:
        extract(stream(tar), ["a", "b"], targets, UNLIMITED)
    assert (tmp_path / "a" / "one").samefile(tmp_path / "b" / "two")


def test_a_hard_link_to_a_volume_that_is_not_restored_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    tar = forged((entry("a/one"), b"content"), entry("b/two", tarfile.LNKTYPE, linkname="a/one"))
    with opened(b=tmp_path / "b") as targets, pytest.raises(RunFailed, match="volume a, which has to be restored"):
        extract(stream(tar), ["a", "b"], targets, UNLIMITED)


def test_a_full_volume_is_said_to_be_full() -> None:
    full = Path("/dev/shm/quotenode-full")
    shutil.rmtree(full, ignore_errors=True)
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", full], check=True)
    try:
        with pytest.raises(RunFailed) as failure:
            extracted(forged((entry("big"), bytes(1 << 20))), full / "out")
        assert failure.value.reason is Reason.NO_SPACE
    finally:
        subprocess.run(["umount", full], check=True)
        full.rmdir()


def test_many_gzip_members_are_one_stream() -> None:
    content = random.Random(1).randbytes(3_000_000) + bytes(5_000_000)
    members = b"".join(gzip.compress(content[start : start + 700_001]) for start in range(0, len(content), 700_001))
    for size in (1, 1000, len(members)):
        chunks = [members[start : start + size] for start in range(0, len(members), size)]
        if size == 1:
            chunks = [*chunks[:200_000], members[200_000:]]
        pieces = list(gunzipped(chunks))
        assert b"".join(pieces) == content
        assert max(map(len, pieces)) <= 1 << 20


@pytest.mark.parametrize("kept", [0, 5, 100, 2_000, -9, -1])
def test_gzip_that_ends_too_early_is_noticed(kept: int) -> None:
    data = gzip.compress(random.Random(1).randbytes(5000))
    with pytest.raises(EOFError):
        list(gunzipped([data[:kept]]))


def test_a_flipped_bit_in_gzip_is_noticed() -> None:
    data = bytearray(gzip.compress(random.Random(1).randbytes(5000)))
    data[2500] ^= 4
    with pytest.raises(zlib.error):
        list(gunzipped([bytes(data)]))


def test_the_watcher_hears_of_large_files_while_they_are_read() -> None:
    heard: list[int] = []
    tar = forged((entry("big"), bytes(10 << 20)))
    scan(stream(tar), ["."], UNLIMITED, lambda tallies: heard.append(tallies["."].files))
    assert len(heard) > 10


def test_an_archive_that_lacks_something_is_noticed_at_its_end() -> None:
    with pytest.raises(RunFailed, match=r"1 files.*and the backup had 2 files") as failure:
        require_tally(scanned(forged(entry("a"))).total, Tally(files=2))
    assert failure.value.reason is Reason.ARCHIVE_INVALID
