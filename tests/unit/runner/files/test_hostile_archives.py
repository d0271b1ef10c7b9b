"""Archives that no backup writes are refused, by scan and by extract, and nothing is ever written outside the target."""

import random
import tarfile
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.files.archive_check import Tally
from tests.unit.runner.files.restoring import archive_of, entry, extracted, forged, names, scanned

FOLDER, LINK, HARD = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def pax(records: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return entry("PaxHeaders/x", tarfile.XHDTYPE), records


HOSTILE = {
    "dots": ("leads out", forged(entry("a/../../x"))),
    "dots alone": ("leads out", forged(entry("..", FOLDER))),
    "absolute": ("absolute", forged(entry("/etc/cron.d/x"))),
    "absolute by an extended header": ("absolute", forged(pax(b"20 path=/etc/passwd\n"), entry("x"))),
    "no name": ("no valid name", forged(entry(""))),
    "too long a name": ("too long", forged(entry("x" * 256))),
    "too long a name on the way": ("too long", forged(entry("x" * 256 + "/a"))),
    "NUL in a name": ("no valid name", forged(pax(b"12 path=a\0b\n"), entry("x"))),
    "device": ("character device", forged(entry("null", tarfile.CHRTYPE))),
    "block device": ("block device", forged(entry("sda", tarfile.BLKTYPE))),
    "fifo": ("fifo", forged(entry("pipe", tarfile.FIFOTYPE))),
    "sparse": ("sparse", forged(entry("sparse", tarfile.GNUTYPE_SPARSE))),
    "sparse by an extended header": ("sparse", forged(pax(b"22 GNU.sparse.major=1\n"), entry("x"))),
    "header for all": ("header for the whole", forged((entry("x", tarfile.XGLTYPE), b"12 path=/x\n\n"))),
    "unknown kind": ("unknown kind", forged(entry("x", b"V"))),
    "twice": ("twice", forged(entry("a"), entry("a"))),
    "twice in two spellings": ("twice", forged(entry("a/b"), entry("./a//b"))),
    "folder twice": ("twice", forged(entry("a", FOLDER), entry("a", FOLDER))),
    "file, then folder": ("twice", forged(entry("a"), entry("a", FOLDER))),
    "file below a file": ("not a folder", forged(entry("a"), entry("a/b"))),
    "file below a link": ("not a folder", forged(entry("a", LINK, linkname="/etc"), entry("a/b"))),
    "link over a folder": ("folder and a file", forged(entry("a/b"), entry("a", LINK, linkname="/etc"))),
    "hard link to nothing": ("does not come before", forged(entry("a", HARD, linkname="b"))),
    "hard link outside": ("leads out", forged(entry("a", HARD, linkname="../b"))),
    "hard link to an absolute name": ("absolute", forged(entry("a", HARD, linkname="/etc/passwd"))),
    "hard link to a link": (
        "does not come before",
        forged(entry("a", LINK, linkname="/etc/passwd"), entry("b", HARD, linkname="a")),
    ),
    "hard link to itself": ("does not come before", forged(entry("a", HARD, linkname="a"))),
    "hard link to a folder": ("does not come before", forged(entry("a", FOLDER), entry("b", HARD, linkname="a"))),
    "link to nothing": ("link to nothing", forged(entry("a", LINK))),
    "link of too many bytes": ("link to nothing", forged(entry("a", LINK, linkname="x" * 4096))),
    "owner that no kernel knows": ("owner", forged(entry("a", uid=1 << 40))),
    "negative owner": ("owner", forged(entry("a", gid=-5))),
    "time beyond all": ("time", forged(entry("a", mtime=1 << 70))),
    "folder with content": ("content", forged((entry("a", FOLDER), b"x"))),
    "file with a folder's name": ("name of one", forged(entry("a/"))),
    "negative size": ("negative", forged(entry("a", size=-1))),
    "root that is a file": ("place of a volume", forged(entry("./"[:1]))),
    "no end": ("too early", forged(entry("a"), ending=b"")),
    "half an end": ("too early", forged(entry("a"), ending=bytes(512))),
    "cut in the content": ("too early", forged((entry("a"), bytes(10_000)))[:3000]),
    "something after its end": ("after its end", forged(entry("a"), ending=bytes(1024) + b"x" * 512)),
    "a header after one block of zeros": ("damaged", forged(entry("a"), ending=bytes(512) + forged(entry("b")))),
    "zeros without end": ("after its end", forged(entry("a"), ending=bytes(3 << 20))),
    "header without entry": ("without its entry", forged(pax(b"12 mtime=12\n\n"[:12]))),
    "huge name": ("too long", forged(entry("x", tarfile.GNUTYPE_LONGNAME, size=1 << 40))),
    "damaged records": ("damaged", forged(pax(b"99 path=x\n"), entry("x"))),
    "records that go nowhere": ("damaged", forged(pax(b"0 path=x\n"), entry("x"))),
    "damaged time": ("time", forged(pax(b"13 mtime=1e9\n"), entry("x"))),
    "garbage": ("damaged", random.Random(3).randbytes(4096)),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_it_is_refused_and_nothing_is_written_outside(tmp_path: Path, what: str) -> None:
    expected, tar = HOSTILE[what]
    with pytest.raises(RunFailed, match=expected) as failure:
        scanned(tar)
    assert failure.value.reason is Reason.ARCHIVE_INVALID
    (tmp_path / "below").mkdir()
    with pytest.raises(RunFailed, match=expected):
        extracted(tar, tmp_path / "below" / "out")
    assert names(tmp_path / "below") == ["out"]


@pytest.mark.parametrize(
    "most",
    [Tally(1, 1, 1, 999), Tally(0, 1, 1, 1000), Tally(1, 0, 1, 1000), Tally(1, 1, 0, 1000)],
)
def test_more_than_the_manifest_says_is_refused(most: Tally) -> None:
    tar = forged((entry("a"), bytes(1000)), entry("b", FOLDER), entry("c", LINK, linkname="x"))
    assert scanned(tar, most=Tally(1, 1, 1, 1000)).total == Tally(1, 1, 1, 1000)
    with pytest.raises(RunFailed, match="more in it than the"):
        scanned(tar, most=most)


def test_a_terabyte_is_refused_before_any_of_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="more in it than the"):
        extracted(forged(entry("big", size=1 << 40)), tmp_path / "out", Tally(files=1, bytes=1 << 30))
    assert names(tmp_path / "out") == []


@pytest.mark.parametrize("name", ["other/x", "x", "uploadsx/y"])
def test_an_entry_of_no_known_volume_is_refused(name: str) -> None:
    with pytest.raises(RunFailed, match="none of the volumes"):
        scanned(forged(entry(name)), "uploads")


def test_a_volume_that_is_a_file_is_refused() -> None:
    with pytest.raises(RunFailed, match="place of a volume"):
        scanned(forged(entry("uploads")), "uploads")


def test_a_link_is_made_and_never_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    target = str(tmp_path / "outside")
    extracted(forged(entry("a", LINK, linkname=target), entry("b", LINK, linkname="a/x")), tmp_path / "out")
    assert str((tmp_path / "out" / "a").readlink()) == target
    assert names(tmp_path / "outside") == []


def test_control_characters_in_a_name_do_not_reach_the_message() -> None:
    with pytest.raises(RunFailed) as failure:
        scanned(forged(entry("a\x1b[2J\n/../x")))
    assert failure.value.message.isprintable()


@pytest.mark.parametrize("seed", range(100))
def test_a_damaged_archive_is_refused_with_a_sentence_or_read(tmp_path: Path, seed: int) -> None:
    """No damage ends in any other exception, and none in a file outside the target."""
    source, chance = tmp_path / "source", random.Random(seed)
    (source / "a").mkdir(parents=True)
    (source / "a" / ("x" * 120)).write_bytes(bytes(700))
    (source / "b").symlink_to("a")
    tar = bytearray(archived(source))
    for _ in range(chance.randint(1, 4)):
        tar[chance.randrange(len(tar))] = chance.choice([0, 0x2E, 0x2F, 0x80, 0xFF, chance.randrange(256)])
    try:
        extracted(bytes(tar), tmp_path / "out")
    except RunFailed as failure:
        assert failure.reason is Reason.ARCHIVE_INVALID
    assert names(tmp_path) == ["out", "source"]


_ARCHIVES: list[bytes] = []


def archived(source: Path) -> bytes:
    if not _ARCHIVES:
        _ARCHIVES.append(archive_of({".": source})[0])
    return _ARCHIVES[0]
