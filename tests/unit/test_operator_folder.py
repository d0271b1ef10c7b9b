"""`operator/` is a folder of sources: as a package it would stand in the way of the standard library's `operator`."""

import operator
from pathlib import Path


def test_the_folder_is_no_package() -> None:
    assert not (Path(__file__).parents[2] / "operator" / "__init__.py").exists()
    assert operator.add(1, 2) == 3
