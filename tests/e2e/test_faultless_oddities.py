"""Files that are odd and yet no fault, on a real volume: what can be kept comes back by tar, the rest is noted, and the run completes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.backups import a_backup, completed
from tests.e2e.claims import run_on
from tests.e2e.kubectl import Namespace
from tests.e2e.operators import OperatorProcess
from tests.e2e.standin.quotenode import QuoteNode

ODDITIES = r"""python3 - <<'END'
import os, socket
os.mkdir("bundles")
os.makedirs("tree/folder\nwith lines")
os.chdir("tree")
names = [b"with space", b"quote'\"", b"new\nline", b"-leading", b"--checkpoint-action=exec=sh", b"x" * 255, b"bytes \xff\xfe", b"lost+found"]
for name in names:
    for path in (name, b"folder\nwith lines/" + name):
        with open(path, "wb") as file:
            file.write(b"content of " + name)
        os.utime(path, ns=(1, 1_700_000_000_123_456_789))
open("empty", "wb").close()
os.truncate(os.open("sparse", os.O_CREAT | os.O_RDWR), 50_000_000)
os.symlink("with space", "link inside")
os.symlink("/etc/passwd", "link outside")
os.link("with space", "second name")
os.chmod("second name", 0o640)
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
END
"""
CLAIM = "quotenode-files"
NO_FILES = ("pipe", "socket")
REGULAR = 2 * 8 + len(("empty", "sparse", "second name"))


@pytest.fixture(scope="module")
def namespace(own_namespace: Callable[[str], Namespace], deploy: Callable[[Namespace], QuoteNode]) -> Namespace:
    namespace = own_namespace("oddities")
    deploy(namespace)
    run_on(namespace, CLAIM, ODDITIES)
    return namespace


@pytest.fixture(scope="module")
def path(namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the bundle of all of it is."""
    log: Path = tmp_path_factory.mktemp("oddities") / "operator.log"
    with OperatorProcess(namespace.name, log):
        tree = {"name": "tree", "claimName": CLAIM, "subPath": "tree"}
        beside = {"local": {"claimName": CLAIM, "subPath": "bundles"}}
        namespace.apply(a_backup("odd", files=[tree], storage=beside))
        return str(completed(namespace, "odd")["destinations"][0]["path"])


def test_files_and_links_come_back_exactly_whatever_they_are_called(namespace: Namespace, path: str) -> None:
    before = run_on(namespace, CLAIM, "fingerprint tree . tree")

    run_on(namespace, CLAIM, f"mkdir /tmp/back; tar xzOf {path} files.tar.gz | tar xzpf - -C /tmp/back")
    after = run_on(namespace, CLAIM, "fingerprint tree /tmp/back tree")

    assert after == before
    assert after.count('"type": "file"') == REGULAR
    assert after.count('"type": "link"') == 2


def test_what_is_no_file_is_left_out_and_noted(namespace: Namespace, path: str) -> None:
    manifest = json.loads(run_on(namespace, CLAIM, f"tar xzOf {path} manifest.json"))

    noted = {note["path"]: note["note"] for note in manifest["notes"]}

    assert set(noted) == {f"tree/{name}" for name in NO_FILES}
    assert all(note.endswith("left out") for note in noted.values())
    assert manifest["noteCount"] == len(NO_FILES)
