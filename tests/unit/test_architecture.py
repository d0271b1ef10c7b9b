"""docs/architecture.md tells a newcomer which source file does what: its table follows the tree."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "operator" / "quotenode_backup"
SECTION = (ROOT / "docs" / "architecture.md").read_text().split("## Where to find what\n")[1].split("\n## ")[0]


def named_in_the_table() -> Iterator[Path]:
    """Files, and folders that end in a slash."""
    for line in SECTION.splitlines():
        if line.startswith("| "):
            yield from (PACKAGE / path for path in re.findall(r"`([\w/]+(?:/|\.py))`", line))


def test_each_file_in_the_table_of_components_exists() -> None:
    named = list(named_in_the_table())
    assert named
    assert [str(path) for path in named if not path.exists()] == []


def test_each_folder_of_the_package_is_in_the_table_of_components() -> None:
    named = set(named_in_the_table())
    covered = named | {parent for path in named for parent in path.parents}
    folders = {path.parent for path in PACKAGE.rglob("__init__.py")}
    assert folders - covered == set()
