"""The names of a bundle's parts, and of the files beside the bundle."""

FORMAT_VERSION = 2
"""Of the bundles that are written. Those of every earlier format are read. Format 2 brought the index of the files, an archive that consists of many
gzip members, the rows of each table, and the facts about the database."""

DUMP = "backup.dump"
FILES = "files.tar.gz"
INDEX = "files.index.zst"
TABLES = "tables.json.gz"
CHECKSUMS = "checksums.sha256"
MANIFEST = "manifest.json"

PREFIX, SUFFIX = "quotenode-backup-", ".tar.gz"
CHECKSUM_SUFFIX = ".sha256"
COMMIT_RECORD_SUFFIX = ".manifest.json"
PARTIAL_PREFIX = ".partial-"
"""Begins the name of what an attempt writes before it commits. Such a file is never a backup."""
RESTORE_PREFIX = ".quotenode-restore-"
"""Begins the name of what a restore keeps beside the files of an application. It is no part of them."""

REMOVED_PREFIX = ".pruned-"
"""The prefix that a commit record gets when its bundle is marked for removal, and keeps until all of the bundle is gone."""


def record_name(bundle_name: str) -> str:
    """The name of the commit record beside a bundle."""
    return f"{bundle_name}{COMMIT_RECORD_SUFFIX}"


def tombstone_name(bundle_name: str) -> str:
    """What the commit record of a bundle is called once the bundle is marked for removal."""
    return f"{REMOVED_PREFIX}{record_name(bundle_name)}"


def bundle_of(record_name: str) -> str:
    """The name of the bundle of a commit record, whether or not it is marked for removal."""
    return record_name.removeprefix(REMOVED_PREFIX).removesuffix(COMMIT_RECORD_SUFFIX)


def checksum_line(sha256: str, name: str) -> str:
    """One line in the format that `sha256sum -c` reads."""
    return f"{sha256}  {name}\n"


def numbered(bundle_name: str, number: int) -> str:
    """The name of the `number`th bundle, from 1, of the same second. The first has no number in its name."""
    return bundle_name if number == 1 else f"{bundle_name.removesuffix(SUFFIX)}-{number}{SUFFIX}"
