import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.cache import SCRATCH_PREFIX, Cache, default_root, key_of


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def write_once(folder: Path) -> None:
    (folder / "made").write_text("once")


def refuse(folder: Path) -> None:
    raise AssertionError(f"{folder} is made although it is there")


def test_the_same_inputs_have_the_same_key(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")

    assert key_of("v1", tmp_path) == key_of("v1", tmp_path)


@pytest.mark.parametrize("change", ["content", "name", "mode", "version"])
def test_each_changed_input_changes_the_key(tmp_path: Path, change: str) -> None:
    file = tmp_path / "a"
    file.write_text("text")
    before = key_of("v1", tmp_path)

    match change:
        case "content":
            file.write_text("other")
        case "name":
            file.rename(tmp_path / "b")
        case "mode":
            file.chmod(0o755)

    assert key_of("v2" if change == "version" else "v1", tmp_path) != before


def test_where_one_input_ends_belongs_to_the_key() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")


def test_compiled_python_does_not_change_the_key(tmp_path: Path) -> None:
    before = key_of(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"code")

    assert key_of(tmp_path) == before


def test_an_artifact_is_made_once(cache: Cache) -> None:
    made = cache.artifact("tool", "key", write_once)

    assert (made / "made").read_text() == "once"
    assert cache.artifact("tool", "key", refuse) == made


def test_an_artifact_that_failed_half_way_is_not_taken_for_whole(cache: Cache) -> None:
    def break_off(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("interrupted")

    with pytest.raises(OSError, match="interrupted"):
        cache.artifact("tool", "key", break_off)

    made = cache.artifact("tool", "key", write_once)
    assert [path.name for path in made.iterdir()] == ["made"]
    assert not list(cache.folder("tool").glob(f"{SCRATCH_PREFIX}*"))


def test_old_generations_go_and_the_newest_stay(cache: Cache) -> None:
    for number in range(4):
        made = cache.artifact("tool", f"key{number}", write_once)
        os.utime(made, (number, number))
    cache.artifact("tool", "key4", write_once)

    assert sorted(path.name for path in cache.folder("tool").glob("key*")) == ["key2", "key3", "key4"]


def test_what_a_killed_run_left_is_swept_and_what_a_living_one_uses_stays(cache: Cache) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = cache.folder("scratch") / f"{int(gone.stdout)}-left"
    left.mkdir()

    with cache.scratch() as mine, cache.locked():
        assert mine.exists()
        assert not left.exists()
    assert not mine.exists()


def test_the_cache_is_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("QN_CACHE", raising=False)
    assert default_root() == tmp_path / "quotenode-backup-operator"

    monkeypatch.setenv("QN_CACHE", str(tmp_path / "mine"))
    assert default_root() == tmp_path / "mine"
