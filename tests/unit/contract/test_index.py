"""The name of a file, which may be any bytes, is in the index as text that is the name of no other file."""

import os
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotenode_backup.contract.index import IndexEntry
from quotenode_backup.domain.index import quoted, unquoted

LINE = (
    b'{"path":"a","type":"File","size":1,"mtimeNs":"-1","mode":"0640","uid":0,"gid":0,'
    b'"sha256":"' + b"0" * 64 + b'","offset":0,"length":99,"at":0}\n'
)


@given(st.binary())
def test_any_name_comes_back(name: bytes) -> None:
    text = quoted(os.fsdecode(name))
    assert text.encode().decode() == text
    assert unquoted(text) == unquote_to_bytes(text) == name


@pytest.mark.parametrize(
    ("name", "text"), [("ä b.pdf".encode(), "ä b.pdf"), (b"100%", "100%25"), (b"\xfc%FC", "%FC%25FC"), (b"\n", "\n")]
)
def test_a_name_stays_readable(name: bytes, text: str) -> None:
    assert quoted(os.fsdecode(name)) == text


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (b'"0640"', b'"rw-"'),
        (b'"-1"', b'"1.5"'),
        (b":99", b":-1"),
        (b'"File"', b'"Device"'),
        (b"}", b""),
        (b"}", b',"x":1}'),
    ],
)
def test_a_line_with_a_value_that_no_entry_has_is_refused(value: bytes, other: bytes) -> None:
    with pytest.raises(ValueError, match="validation error"):
        IndexEntry.from_line(LINE.replace(value, other))
