"""What is in the archive of the files, and what was odd about them."""

from dataclasses import dataclass, field

from quotenode_backup.runner.process.display import escape

NOTES_KEPT = 100


@dataclass
class Account:
    files: int = 0
    folders: int = 0
    links: int = 0
    bytes: int = 0
    leftovers: int = 0
    """Entries that a restore has left beside the files. They are not in the archive."""
    note_count: int = 0
    notes: list[dict[str, str]] = field(default_factory=list)
    """The first `NOTES_KEPT` notes."""

    def note(self, path: str, what: str) -> None:
        self.note_count += 1
        if len(self.notes) < NOTES_KEPT:
            self.notes.append({"path": escape(path, 300), "note": what})
