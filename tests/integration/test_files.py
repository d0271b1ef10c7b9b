"""Every oddity that a folder of files can have, each with what becomes of it."""

import gzip
import io
import json
import os
import socket
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason
from tests.integration import trees
from tests.integration.bundles import command
from tests.integration.pod import USER, Pod
from tests.integration.processes import frozen
from tests.integration.site import Site

ODD_NAMES = [
    b"with space",
    b" leading and trailing ",
    b"quote'\"`",
    b"new\nline",
    b"-leading-dash",
    b"--checkpoint-action=exec=sh",
    b"x" * 255,
    "ü".encode() * 127,
    b"not \xff\xfe utf-8 \x80",
    b"latin1-\xfc\xf6",
    b"\xed\xa0\x80 surrogate",
    b"tab\tbell\x07escape\x1b[31m",
    b"back\\slash\\n",
    b"*?[glob]",
    b"$(touch x)",
    b"%s",
    b"=equals = 1\n2 path=other",
    "e\u0301 and \u00e9".encode(),
    b"...",
    b".hidden",
    b"~",
    b"C:\\nul",
    b"\x7f",
    b"lost+found",
]

EXTRACTORS = ["tar", "bsdtar"]


def comes_back(site: Site, extractor: str = "tar") -> None:
    trees.own(site.uploads, USER)
    opened = site.succeeds()
    assert trees.snapshot(opened.files(extractor)) == trees.snapshot(site.uploads)


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_names_of_any_bytes_are_kept_exactly(empty_site: Site, extractor: str) -> None:
    files, folders = empty_site.uploads / "files", empty_site.uploads / "folders"
    for name in map(os.fsdecode, ODD_NAMES):
        trees.write(files / name, b"content of " + os.fsencode(name))
        trees.write(folders / name / "inside", os.fsencode(name))
        (files / f"link to {name[:80]}").symlink_to(name)
    comes_back(empty_site, extractor)


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_long_paths_are_kept(empty_site: Site, extractor: str) -> None:
    folder = empty_site.uploads
    for letter in "abcdefghijklm":
        folder = folder / (letter * 250)
        folder.mkdir()
    trees.write(folder / ("x" * 200), b"far down")
    (folder / "link").symlink_to("y" * 3000)
    comes_back(empty_site, extractor)


def test_a_tree_deeper_than_any_recursion_is_kept(empty_site: Site) -> None:
    deep = empty_site.uploads / "/".join("d" * 1500)
    subprocess.run(["mkdir", "-p", deep], check=True)
    (deep / "file").write_text("far down")
    own: list[str | Path] = ["chown", "-hR", str(USER), empty_site.uploads]
    subprocess.run(own, check=True)
    opened = empty_site.succeeds()
    assert (opened.files() / deep.relative_to(empty_site.uploads) / "file").read_text() == "far down"


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_empty_and_sparse_files_have_their_bytes(empty_site: Site, extractor: str) -> None:
    trees.write(empty_site.uploads / "empty", b"")
    sparse = trees.write(empty_site.uploads / "sparse", b"start")
    with sparse.open("r+b") as file:
        file.seek(40 * 2**20)
        file.write(b"middle")
        file.truncate(64 * 2**20)
    os.truncate(trees.write(empty_site.uploads / "hole", b""), 3 * 2**20 + 17)
    for size in (1, 511, 512, 513, 10240, 2**20 - 1, 2**20, 2**20 + 1):
        trees.write(empty_site.uploads / f"size {size}", os.urandom(size))
    comes_back(empty_site, extractor)


@pytest.mark.parametrize("reader", ["gzip -dc", "busybox gunzip -c", "busybox zcat", "bsdcat"])
def test_any_gunzip_reads_the_many_members_of_the_archive_as_one_stream(empty_site: Site, reader: str) -> None:
    for number, size in enumerate((0, 100, 3 * 2**20, 200_000, 2**20, 900_000, 5)):
        trees.write(empty_site.uploads / f"{number}.bin", os.urandom(size))
        trees.write(empty_site.uploads / f"{number}.txt", b"a line of text\n" * (size // 15))
    trees.own(empty_site.uploads, USER)
    archive = empty_site.succeeds().folder / "files.tar.gz"
    with gzip.open(archive) as whole, tarfile.open(fileobj=whole) as tar:
        assert len(tar.getnames()) == 14
    assert command([*reader.split(), archive]).stdout == gzip.decompress(archive.read_bytes())
    listing = command(["busybox", "tar", "-tzf", archive]).stdout
    assert len(listing.splitlines()) == 14


def test_one_file_comes_out_of_the_archive_through_the_index_alone(empty_site: Site) -> None:
    for number in range(5):
        trees.write(empty_site.uploads / f"{number}.bin", os.urandom(number * 2**19))
    trees.own(empty_site.uploads, USER)
    opened = empty_site.succeeds()
    lines = command(["zstd", "-dc", "files.index.zst"], cwd=opened.folder).stdout.splitlines()
    entry = next(found for found in map(json.loads, lines) if found["path"] == "3.bin")
    with (opened.folder / "files.tar.gz").open("rb") as archive:
        archive.seek(entry["offset"])
        member = gzip.decompress(archive.read(entry["length"]))
    with tarfile.open(fileobj=io.BytesIO(member[entry["at"] :])) as tar:
        file = tar.extractfile("3.bin")
        assert file
        assert file.read() == (empty_site.uploads / "3.bin").read_bytes()


def test_what_a_restore_left_is_not_in_the_bundle_and_the_result_says_so(site: Site) -> None:
    expected = trees.snapshot(site.uploads)
    trees.write(site.uploads / ".quotenode-restore-1" / "old" / "file", b"replaced")
    trees.own(site.uploads, USER)
    outcome = site.backup()
    opened = site.open(site.destination / outcome.succeeded().path)
    assert trees.snapshot(opened.files()) == expected
    assert outcome.result.leftovers == 1
    assert_noted(opened.manifest, ".quotenode-restore-1")


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_times_are_kept_to_the_nanosecond(empty_site: Site, extractor: str) -> None:
    nanoseconds = [0, 1, 999_999_999, 1_700_000_000_000_000_001, 1_799_999_999_123_456_789, 4_102_444_800_000_000_003]
    nanoseconds += [-2_000_000_000, 253_402_300_799_000_000_001]
    nanoseconds += [-1_500_000_000, -1] if extractor == "tar" else []  # bsdtar takes -1.5 s for -0.5 s
    for number, moment in enumerate(nanoseconds):
        trees.write(empty_site.uploads / "files" / str(number), b"x", 0o644, moment)
    for number, moment in enumerate(nanoseconds):
        folder = empty_site.uploads / "folders" / str(number)
        folder.mkdir(parents=True)
        os.utime(folder, ns=(moment, moment))
    comes_back(empty_site, extractor)


def test_modes_are_kept_and_set_user_bits_dropped_and_noted(empty_site: Site) -> None:
    for mode in (0o400, 0o444, 0o600, 0o644, 0o666, 0o700, 0o755, 0o777, 0o664):
        trees.write(empty_site.uploads / f"{mode:o}", b"x", mode)
    for mode in (0o700, 0o755, 0o777, 0o1777, 0o500):
        (empty_site.uploads / f"folder {mode:o}").mkdir()
        (empty_site.uploads / f"folder {mode:o}").chmod(mode)
    trees.own(empty_site.uploads, USER)
    for mode in (0o4755, 0o2755, 0o6777):
        trees.write(empty_site.uploads / f"{mode:o}", b"x").chmod(mode)
        os.chown(empty_site.uploads / f"{mode:o}", USER, USER)
        (empty_site.uploads / f"{mode:o}").chmod(mode)
    opened = empty_site.succeeds()
    kept, expected = trees.snapshot(opened.files()), trees.snapshot(empty_site.uploads)
    for name, entry in expected.items():
        if entry.kind == "file":
            assert kept[name].mode == entry.mode & 0o1777, name
        else:
            assert kept[name].mode == entry.mode, name
    assert_noted(opened.manifest, "4755", "2755", "6777")


def assert_noted(manifest: dict[str, object], *names: str) -> None:
    notes = str(manifest["notes"])
    for name in names:
        assert name in notes, f"{name} is not noted: {notes}"


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_links_are_kept_as_links_and_never_followed(empty_site: Site, extractor: str) -> None:
    uploads = empty_site.uploads
    trees.write(uploads / "folder" / "file", b"x")
    links = {
        "inside": "folder/file",
        "to a folder": "folder",
        "outside": "/etc/passwd",
        "up": "../../../etc",
        "nowhere": "no/such/file",
        "itself": "itself",
        "a": "b",
        "b": "a",
        "root": "/",
        "long": "z" * 4000,
    }
    for name, target in links.items():
        (uploads / name).symlink_to(target)
    (uploads / "bytes").symlink_to(os.fsdecode(b"\xff\xfe bytes\nand lines"))
    comes_back(empty_site, extractor)


def test_links_to_one_file_have_its_content(empty_site: Site) -> None:
    first = trees.write(empty_site.uploads / "b" / "first", os.urandom(50_000))
    for name in ("a", "c", "b/-second"):
        os.link(first, empty_site.uploads / name)
    comes_back(empty_site)


def test_sockets_and_pipes_are_left_out_and_noted(empty_site: Site) -> None:
    trees.write(empty_site.uploads / "file", b"x")
    os.mkfifo(empty_site.uploads / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(empty_site.uploads, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    os.mknod(empty_site.uploads / "device", 0o020666, os.makedev(1, 3))
    trees.own(empty_site.uploads, USER)
    outcome = empty_site.backup()
    opened = empty_site.open(empty_site.destination / outcome.succeeded().path)
    assert trees.names(opened.files()) == {b"file"}
    assert_noted(opened.manifest, "pipe", "socket", "device")
    assert outcome.result.notes == 3


def test_lost_and_found_at_the_root_is_the_one_folder_skipped(empty_site: Site) -> None:
    (empty_site.uploads / "lost+found").mkdir(mode=0o700)
    trees.write(empty_site.uploads / "deeper" / "lost+found" / "file", b"x")
    subprocess.run(["chown", "-R", str(USER), empty_site.uploads / "deeper"], check=True)
    opened = empty_site.succeeds()
    assert trees.names(opened.files()) == {b"deeper", b"deeper/lost+found", b"deeper/lost+found/file"}


def caught_reading(site: Site) -> tuple[Pod, Path, int]:
    """A backup whose walk stands still in the middle of the file that it comes to first."""
    big = site.uploads / "aaa-big.bin"
    big.touch()
    os.truncate(big, 2**29)
    trees.own(site.uploads, USER)
    pod = site.start()
    return pod, big, pod.child_reading(big)


def during_the_walk(site: Site, change: Callable[[Path], None]) -> Pod:
    """A backup during whose walk something changes, behind the back of the file that is being read."""
    pod, big, walker = caught_reading(site)
    with frozen(walker):
        change(big)
    return pod


def opened_files(site: Site, pod: Pod) -> tuple[set[bytes], dict[str, object]]:
    outcome = pod.wait(100)
    opened = site.open(site.destination / outcome.succeeded().path)
    site.assert_nothing_left_behind()
    return {name.removeprefix(b"./") for name in opened.file_names()}, opened.manifest


def test_what_vanishes_or_comes_during_the_walk_is_noted_and_the_run_completes(empty_site: Site) -> None:
    uploads = empty_site.uploads
    for name in ("mmm/one.pdf", "mmm/two.pdf", "zzz/three.pdf", "zzz-four.pdf"):
        trees.write(uploads / name, b"x")

    def change(_: Path) -> None:
        (uploads / "mmm" / "one.pdf").unlink()
        (uploads / "zzz-four.pdf").unlink()
        subprocess.run(["rm", "-r", uploads / "zzz"], check=True)
        trees.write(uploads / "mmm" / "new.pdf", b"new")
        trees.write(uploads / "nnn.pdf", b"new")
        trees.own(uploads, USER)

    names, manifest = opened_files(empty_site, during_the_walk(empty_site, change))
    assert {b"aaa-big.bin", b"mmm/two.pdf"} <= names
    assert not {b"mmm/one.pdf", b"zzz-four.pdf", b"zzz/three.pdf"} & names
    assert_noted(manifest, "zzz")


def test_a_folder_that_becomes_a_link_is_not_followed(empty_site: Site) -> None:
    uploads = empty_site.uploads
    trees.write(uploads / "zzz" / "file", b"x")

    def change(_: Path) -> None:
        (uploads / "zzz").rename(uploads / "yyy-moved")
        (uploads / "zzz").symlink_to("/secrets/database")

    names, _ = opened_files(empty_site, during_the_walk(empty_site, change))
    assert b"zzz/password" not in names
    assert b"zzz/username" not in names


def test_a_file_that_becomes_a_link_or_a_pipe_is_not_followed(empty_site: Site) -> None:
    uploads = empty_site.uploads
    trees.write(uploads / "yyy", b"x")
    trees.write(uploads / "zzz", b"x")

    def change(_: Path) -> None:
        (uploads / "yyy").unlink()
        os.mkfifo(uploads / "yyy")
        (uploads / "zzz").unlink()
        (uploads / "zzz").symlink_to("/secrets/database/password")

    pod = during_the_walk(empty_site, change)
    outcome = pod.wait(100)
    opened = empty_site.open(empty_site.destination / outcome.succeeded().path)
    extracted = opened.files()
    assert not (extracted / "zzz").is_file() or (extracted / "zzz").is_symlink()
    assert not (extracted / "yyy").is_fifo()


def grow(file: Path) -> None:
    with file.open("ab") as growing:
        growing.write(b"more")


def shrink(file: Path) -> None:
    os.truncate(file, 5)


def overwrite(file: Path) -> None:
    with file.open("r+b") as changing:
        changing.write(b"other")


@pytest.mark.parametrize("change", [grow, shrink, overwrite])
def test_a_file_that_changes_under_the_walk_fails_the_attempt(empty_site: Site, change: Callable[[Path], None]) -> None:
    pod = during_the_walk(empty_site, change)
    pod.wait(100).failed(Reason.FILE_CHANGED, "aaa-big.bin", within=100)
    empty_site.assert_nothing_left_behind()
    (empty_site.uploads / "aaa-big.bin").unlink()
    empty_site.works_again()


def test_a_file_that_is_replaced_under_the_walk_is_there_whole(empty_site: Site) -> None:
    """Writing aside and renaming is how a careful program changes a file; either version is a good one."""
    trees.write(empty_site.uploads / "zzz", b"old" * 1000)

    def change(_: Path) -> None:
        trees.write(empty_site.uploads / ".new", b"new" * 2000).rename(empty_site.uploads / "zzz")
        trees.own(empty_site.uploads, USER)

    pod = during_the_walk(empty_site, change)
    outcome = pod.wait(100)
    opened = empty_site.open(empty_site.destination / outcome.succeeded().path)
    assert (opened.files() / "zzz").read_bytes() in {b"old" * 1000, b"new" * 2000}


def test_a_message_about_a_file_of_any_name_is_a_fitting_line(empty_site: Site) -> None:
    for name in (b"\xff\n\x1b[31m" + b"y" * 240, "🦜".encode() * 60, b'"' * 250, b"\x01" * 250):
        path = empty_site.uploads / os.fsdecode(name)
        path.write_bytes(b"x")
        trees.own(empty_site.uploads, USER)
        path.chmod(0)
        message = empty_site.fails(Reason.FILE_UNREADABLE)
        assert message.isprintable(), message
        path.unlink()
