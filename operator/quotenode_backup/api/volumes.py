"""The volumes of the application's files, which a backup reads and a restore replaces."""

from typing import Annotated, Any

from pydantic import StringConstraints

from quotenode_backup.api.fields import ObjectName, SpecModel, SubPath, keyed_by, rule

MOST_VOLUMES = 8
BY_NAME: dict[str, Any] = keyed_by("name")
WHOLE_ARCHIVE = rule(
    "!has(self.files) || self.files.size() < 2 || self.files.all(f, f.name != '.')",
    "files: the name . takes the whole archive, so it must be the only one",
)
"""Of a spec with `files`."""


class FilesVolume(SpecModel):
    """A volume of uploads or PDFs."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^(\.|[A-Za-z0-9_][A-Za-z0-9._-]*)$")]
    """Name of the folder inside files.tar.gz that holds this volume. `.` is the root of the archive, as in QuoteNode's own backups, and is allowed only for a single volume."""
    claim_name: ObjectName
    """Name of a PersistentVolumeClaim in the same namespace."""
    sub_path: SubPath = ""
    """Folder inside the claim. Empty means the whole claim."""
