"""Says what a database, a tree of files or a tar archive holds, as sorted JSON lines.

Two outputs are equal if, and only if, the data are: compare them with `diff`.

    fingerprint database              rows, sequences, large objects, definitions (of libpq's PG* variables)
    fingerprint tree ROOT [PATH ...]  files, folders and links below ROOT, or below these paths of it
    fingerprint tar FILE [PATH ...]   the same of a tar archive, without unpacking it
    fingerprint named ROOT|TARFILE    exits 1 unless each file that a row names is there, with the row's hash
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from standin import dbfacts, filefacts
from standin.database import connect

Fact = dict[str, Any]


def main(arguments: list[str]) -> int:
    match arguments:
        case ["database"]:
            with connect() as conn:
                return _say(dbfacts.facts(conn))
        case ["tree", root, *paths]:
            return _say(filefacts.of_tree(Path(root), paths))
        case ["tar", archive, *paths]:
            return _say(filefacts.of_tar(Path(archive), paths))
        case ["named", held]:
            return _check_named(Path(held))
    sys.stderr.write(f"{__doc__}\n")
    return 64


def _say(facts: Iterable[Fact]) -> int:
    for line in sorted(json.dumps(fact) for fact in facts):
        sys.stdout.write(line + "\n")
    return 0


def _check_named(held: Path) -> int:
    with connect() as conn:
        named = dbfacts.named_files(conn)
    facts = filefacts.of_tree(held, []) if held.is_dir() else filefacts.of_tar(held, [])
    hashes = {fact["path"]: fact["sha256"] for fact in facts if fact["type"] == "file"}
    faults = list(_faults(named, hashes))
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    sys.stdout.write(f"{len(named)} files named by rows, {len(faults)} missing or different\n")
    return 1 if faults else 0


def _faults(named: dict[str, str | None], hashes: dict[str, str]) -> Iterator[str]:
    for path, expected in named.items():
        if path not in hashes:
            yield f"missing: {path}"
        elif expected not in (None, hashes[path]):
            yield f"different: {path}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
