from pathlib import Path

from quotenode_backup.runner.estimate import SMALLEST, least_size


def test_what_is_compressed_already_counts_nearly_whole(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "photo.JPG").write_bytes(b"x" * 4_096_000)
    assert least_size(0, [tmp_path]) == SMALLEST + 4_096_000 * 9 // 10


def test_text_sparse_files_and_second_names_count_little(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"x" * 10_000_000)
    with (tmp_path / "hole.pdf").open("wb") as hole:
        hole.truncate(1 << 40)
    assert least_size(0, [tmp_path]) == SMALLEST


def test_a_database_counts_a_fiftieth() -> None:
    assert least_size(5_000_000_000, []) == SMALLEST + 100_000_000
