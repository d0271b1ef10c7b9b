"""The shape of a bundle: what is in it, and what stands beside it."""

FORMAT_VERSION = 1

DUMP = "backup.dump"
FILES = "files.tar.gz"
CHECKSUMS = "checksums.sha256"
MANIFEST = "manifest.json"

SUFFIX = ".tar.gz"
CHECKSUM_SUFFIX = ".sha256"
COMMIT_RECORD_SUFFIX = ".manifest.json"
PARTIAL_PREFIX = ".partial-"
"""What an attempt writes before it commits. Nothing under this name is a backup."""


def record_name(bundle_name: str) -> str:
    """The commit record beside a bundle."""
    return f"{bundle_name}{COMMIT_RECORD_SUFFIX}"


def checksum_line(sha256: str, name: str) -> str:
    """One line as `sha256sum -c` reads it."""
    return f"{sha256}  {name}\n"


def numbered(bundle_name: str, number: int) -> str:
    """The name for the `number`th bundle of one second: the first has no number."""
    return bundle_name if number == 1 else f"{bundle_name.removesuffix(SUFFIX)}-{number}{SUFFIX}"
