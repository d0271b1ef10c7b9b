"""Events: the same transition has the same name, and the note is within the API server's limit."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from quotenode_backup.manifests.event import EventRecord, event
from tests.unit.fakes.given import OWNER, START


def made_event(message: str = "x", occurrence: int = 1) -> dict[str, Any]:
    return event(EventRecord(OWNER, "IOError", message, occurrence, warning=True), reporter="pod", now=START)


def test_one_transition_has_one_name_and_another_has_another() -> None:
    assert made_event()["metadata"]["name"] == made_event("y")["metadata"]["name"]
    assert made_event()["metadata"]["name"] != made_event(occurrence=2)["metadata"]["name"]


@given(st.text(max_size=1100))
def test_a_note_has_at_most_1024_bytes_and_no_broken_letter(message: str) -> None:
    note = made_event(message)["note"]
    assert len(note.encode()) <= 1024
    assert message.startswith(note)
