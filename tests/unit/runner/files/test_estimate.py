import os
from pathlib import Path

from quotenode_backup.runner.files.estimate import least_size


def test_what_is_compressed_already_counts_by_half(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "photo.JPG").write_bytes(b"x" * 4_096_000)
    assert least_size(0, 0, [tmp_path]) == 2_048_000


def test_text_and_sparse_files_count_little(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"x" * 10_000_000)
    with (tmp_path / "hole.pdf").open("wb") as hole:
        hole.truncate(1 << 40)
    assert least_size(0, 0, [tmp_path]) == 0


def test_a_file_with_two_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"x" * 4_096_000)
    os.link(tmp_path / "photo.jpg", tmp_path / "copy.jpg")
    assert least_size(0, 0, [tmp_path]) == 2_048_000


def test_a_database_counts_a_thousandth() -> None:
    assert least_size(0, 5_000_000_000, []) == 5_000_000


def test_where_there_is_a_last_bundle_half_of_it_counts_and_nothing_else(tmp_path: Path) -> None:
    """A database may be nearly all indexes, dead rows and materialized views, of which a dump holds nothing."""
    (tmp_path / "photo.jpg").write_bytes(b"x" * 4_096_000)
    assert least_size(20_000, 5_000_000_000, [tmp_path]) == 10_000


def test_what_a_restore_left_at_the_root_does_not_count(tmp_path: Path) -> None:
    for folder in (".quotenode-restore-1", "deeper/.quotenode-restore-1"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "photo.jpg").write_bytes(b"x" * 4_096_000)
    assert least_size(0, 0, [tmp_path]) == 2_048_000
