"""The shape of a bundle: what is in it, and what stands beside it."""

FORMAT_VERSION = 1

DUMP = "backup.dump"
FILES = "files.tar.gz"
CHECKSUMS = "checksums.sha256"
MANIFEST = "manifest.json"

CHECKSUM_SUFFIX = ".sha256"
COMMIT_RECORD_SUFFIX = ".manifest.json"


def checksum_line(sha256: str, name: str) -> str:
    """One line as `sha256sum -c` reads it."""
    return f"{sha256}  {name}\n"
