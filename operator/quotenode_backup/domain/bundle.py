"""The names of a bundle's parts, and of the files beside the bundle."""

FORMAT_VERSION = 1

DUMP = "backup.dump"
FILES = "files.tar.gz"
CHECKSUMS = "checksums.sha256"
MANIFEST = "manifest.json"

PREFIX, SUFFIX = "quotenode-backup-", ".tar.gz"
CHECKSUM_SUFFIX = ".sha256"
COMMIT_RECORD_SUFFIX = ".manifest.json"
PARTIAL_PREFIX = ".partial-"
"""Begins the name of what an attempt writes before it commits. Such a file is never a backup."""


def record_name(bundle_name: str) -> str:
    """The name of the commit record beside a bundle."""
    return f"{bundle_name}{COMMIT_RECORD_SUFFIX}"


def checksum_line(sha256: str, name: str) -> str:
    """One line in the format that `sha256sum -c` reads."""
    return f"{sha256}  {name}\n"


def numbered(bundle_name: str, number: int) -> str:
    """The name of the `number`th bundle, from 1, of the same second. The first has no number in its name."""
    return bundle_name if number == 1 else f"{bundle_name.removesuffix(SUFFIX)}-{number}{SUFFIX}"
