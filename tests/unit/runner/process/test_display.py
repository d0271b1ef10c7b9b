import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotenode_backup.runner.process.display import REDACTED, escape, sentence
from tests.unit.fakes.site import redactor_of

anything = st.text(st.characters(exclude_categories=()), max_size=300)


@given(anything)
def test_any_text_becomes_one_printable_line(text: str) -> None:
    assert escape(text).isprintable()
    assert len(escape(text, 50)) <= 50


@pytest.mark.parametrize(
    ("text", "words"),
    [("plain ü", "plain ü"), ("a\nb\x1b[31m", "a\\nb\\x1b[31m"), ("\udcff", "\\xff"), ("\u202eevil", "\\u202eevil")],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, words: str) -> None:
    assert escape(text) == words


@given(anything)
def test_a_sentence_fits(text: str) -> None:
    assert len(sentence(text, 80)) <= 80


words = st.text("xyz", max_size=8)


@given(st.lists(words.filter(bool), min_size=1), words, words)
def test_no_secret_is_left_in_foreign_text(secrets: list[str], before: str, after: str) -> None:
    redact = redactor_of(*secrets)
    pieces = redact(before + secrets[0] + after).split(REDACTED)
    assert len(pieces) > 1
    assert not [secret for secret in secrets for piece in pieces if secret in piece]


def test_nothing_is_left_of_a_secret_that_contains_another() -> None:
    redact = redactor_of("pass", "password")
    assert redact("it is password.") == f"it is {REDACTED}."
