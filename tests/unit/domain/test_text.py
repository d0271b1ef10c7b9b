import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotenode_backup.domain.text import readable_size, shortened


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_234_567, "1.2 MiB"),
        (2**40, "1.0 TiB"),
        (2**60, "1024.0 PiB"),
    ],
)
def test_sizes_are_read_at_a_glance(size: int, expected: str) -> None:
    assert readable_size(size) == expected


@given(st.text(st.characters(exclude_categories=()), max_size=300), st.integers(1, 50))
def test_what_comes_from_outside_is_one_printable_line_within_the_limit(text: str, limit: int) -> None:
    assert len(shortened(text, limit)) <= limit
    assert shortened(text, limit).isprintable()
