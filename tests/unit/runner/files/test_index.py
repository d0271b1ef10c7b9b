"""Whatever is archived, each entry comes back in two ways: from the archive read as one stream, and alone, through the index."""

import hashlib
import io
import json
import os
import re
import tarfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quotenode_backup.contract.index import IndexEntry
from quotenode_backup.domain.index import EntryType, unquoted
from quotenode_backup.runner.files.packing import GATHERED
from tests.unit.fakes.archives import Archived, archived, build, names, trees
from tests.unit.fakes.site import content_of

NOISE = os.urandom(3 << 20)
sizes = st.integers(0, 4000) | st.integers(GATHERED - 2048, GATHERED + 2048) | st.integers(0, 3 << 20)
large_files = st.lists(
    st.tuples(names, sizes, st.sampled_from(["noise", "text", "hole", "half"])),
    max_size=5,
    unique_by=lambda one: one[0],
)


def content(size: int, kind: str) -> bytes:
    match kind:
        case "noise":
            return NOISE[:size]
        case "half":
            return (NOISE[: size // 2] + b"some text " * size)[:size]
        case _:
            return (b"some text " * size)[:size]


def add_large_files(folder: Path, files: list[tuple[bytes, int, str]]) -> None:
    folder.mkdir()
    for name, size, kind in files:
        path = folder / os.fsdecode(name)
        path.write_bytes(b"" if kind == "hole" else content(size, kind))
        os.truncate(path, size)
        os.link(path, folder.parent / f"zz {len(list(folder.parent.iterdir()))}")


def require_one_stream(made: Archived, folder: Path, expected: dict[bytes, tuple[Any, ...]]) -> None:
    with tarfile.open(fileobj=io.BytesIO(made.content), mode="r:gz", errorlevel=2) as tar:
        tar.extractall(folder, filter="fully_trusted")
    found = content_of(folder)
    assert {name: rounded(entry) for name, entry in found.items()} == {
        name: rounded(entry) for name, entry in expected.items()
    }


def rounded(entry: tuple[Any, ...]) -> tuple[Any, ...]:
    """Python's tarfile keeps times as floating-point numbers, so only whole seconds are compared here."""
    kind, *rest = entry
    return (kind, *rest) if kind == "link" else (kind, rest[0], rest[1] // 1_000_000_000, *rest[2:])


def alone(made: Archived, entry: IndexEntry) -> tuple[tarfile.TarInfo, bytes]:
    """An entry and its content, from no more of the archive than its member."""
    inflater = zlib.decompressobj(31)
    member = inflater.decompress(made.content[entry.offset : entry.offset + entry.length])
    assert inflater.eof
    assert not inflater.unused_data
    with tarfile.open(fileobj=io.BytesIO(member[entry.at :])) as tar:
        found = tar.next()
        assert found
        file = tar.extractfile(found) if found.isreg() else None
        return found, file.read() if file else b""


def require_alone(made: Archived, entry: IndexEntry) -> None:
    found, inside = alone(made, entry)
    assert os.fsencode(found.name) == unquoted(entry.path)
    assert f"{found.mode:04o}" == entry.mode
    assert (found.uid, found.gid) == (entry.uid, entry.gid)
    assert len(inside) == entry.size
    if entry.type is EntryType.FILE:
        assert hashlib.sha256(inside).hexdigest() == entry.sha256
    if entry.target is not None:
        assert os.fsencode(found.linkname) == unquoted(entry.target)


def require_times(entries: list[IndexEntry], folder: Path) -> None:
    for entry in entries:
        path = folder / os.fsdecode(unquoted(entry.path))
        assert path.lstat().st_mtime_ns == int(entry.mtime_ns)


@given(tree=trees, files=large_files)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_comes_back_as_one_stream_and_entry_by_entry(
    tmp_path_factory: pytest.TempPathFactory, tree: Any, files: list[tuple[bytes, int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    (folder / "source").mkdir()
    build(folder / "source" / "tree", tree)
    add_large_files(folder / "source" / "files", files)
    made = archived(folder / "source")
    expected = content_of(folder / "source")
    require_one_stream(made, folder / "out", expected)
    assert {unquoted(entry.path) for entry in made.entries} == set(expected)
    require_times(made.entries, folder / "source")
    for entry in made.entries:
        require_alone(made, entry)


def test_a_line_has_just_the_fields_of_the_contract(tmp_path: Path) -> None:
    build(tmp_path / "source", {b"100% \xff\n\xc3\xbc": (b"x", 0o640, 0), b"link": b"\xfe"})
    os.link(tmp_path / "source" / "link", tmp_path / "source" / "same", follow_symlinks=False)
    for line in archived(tmp_path / "source").lines:
        entry = IndexEntry.from_line(line)
        assert entry.model_dump(mode="json", by_alias=True, exclude_none=True) == json.loads(line)


def test_the_lines_of_this_format_are_these_byte_for_byte(tmp_path: Path) -> None:
    """Otherwise the index of an older bundle would no longer be the one that belongs to its archive."""
    moment = 1_700_000_000_000_000_001
    build(tmp_path / "source", {b"a %": {b'\xff"': (b"abc", 0o640, moment)}, b"link": b"a\n"})
    owner = f'"uid":{os.getuid()},"gid":{os.getgid()}'
    sha256 = hashlib.sha256(b"abc").hexdigest()
    file, link = archived(tmp_path / "source").lines[1:]
    assert re.sub(r'"length":\d+', '"length":9', file.decode()) == (
        f'{{"path":"a %25/%FF\\"","type":"File","size":3,"mtimeNs":"{moment}","mode":"0640",{owner},"sha256":"{sha256}",'
        '"offset":0,"length":9,"at":1536}\n'
    )
    assert f'"mode":"0777",{owner},"target":"a\\n","offset":0,"length":' in link.decode()


def test_small_files_share_a_member_and_a_large_one_has_its_own(tmp_path: Path) -> None:
    tree = {b"%d" % number: (NOISE[:300_000], 0o600, 0) for number in range(8)}
    build(tmp_path / "source", {**tree, b"4 large": (NOISE[: GATHERED + 1], 0o600, 0)})
    entries = archived(tmp_path / "source").entries
    shared = [
        [entry.path for entry in entries if entry.offset == offset] for offset in sorted({e.offset for e in entries})
    ]
    assert shared == [["0", "1", "2"], ["3", "4"], ["4 large"], ["5", "6", "7"]]


def test_the_members_follow_each_other_and_only_the_end_of_the_archive_is_in_none_of_them(tmp_path: Path) -> None:
    build(tmp_path / "source", {b"%d" % number: (NOISE[: number * 400_000], 0o600, 0) for number in range(5)})
    made = archived(tmp_path / "source")
    members = sorted({(entry.offset, entry.length) for entry in made.entries})
    assert [offset for offset, _ in members] == [0, *(offset + length for offset, length in members[:-1])]
    end = sum(members[-1])
    assert zlib.decompress(made.content[end:], 31) == bytes(1024)


def test_what_does_not_compress_is_stored_and_what_does_is_not(tmp_path: Path) -> None:
    build(tmp_path / "source", {b"noise": (NOISE, 0o600, 0), b"text": (content(3 << 20, "text"), 0o600, 0)})
    (noise, text) = archived(tmp_path / "source").entries
    assert noise.length > len(NOISE)
    assert noise.length < len(NOISE) * 1.001
    assert text.length < len(NOISE) / 50


@pytest.mark.parametrize("beginning", [b"", b"\x89PNG\r\n\x1a\n"])
@pytest.mark.parametrize("missing", [0, 1, 511, 512, 1535, 1536, 1537, 2048])
def test_a_file_that_ends_with_a_piece_of_the_archive_comes_back(
    tmp_path: Path, beginning: bytes, missing: int
) -> None:
    content = (beginning + NOISE)[: 2 * GATHERED - missing]
    build(tmp_path / "source", {b"a.png": (content, 0o600, 0), b"b": (b"x", 0o600, 0)})
    made = archived(tmp_path / "source")
    assert [alone(made, entry)[1] for entry in made.entries] == [content, b"x"]
