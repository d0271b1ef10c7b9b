"""Volumes as a cloud disk has them: ext4, new, its root owned by root, with a `lost+found` that nobody may read."""

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.backups import a_backup, completed, failed
from tests.e2e.claims import run_on
from tests.e2e.kubectl import Namespace
from tests.e2e.nodes import forget_volume, local_volume, on_node, unmounted
from tests.e2e.standin.quotenode import QuoteNode

FOLDER = "/var/local/qn-e2e"


@pytest.fixture(scope="module")
def namespace(watched: Callable[[str], Namespace], deploy: Callable[[Namespace], QuoteNode]) -> Namespace:
    namespace = watched("volumes")
    deploy(namespace)
    return namespace


def disk(namespace: Namespace, claim: str) -> str:
    """A new file system behind a claim; returns where the node has it."""
    path = f"{FOLDER}/{namespace.name}-{claim}"
    on_node(f"mkdir -p {path}; truncate -s 64M {path}.img; mkfs.ext4 -qF {path}.img; mount -o loop {path}.img {path}")
    local_volume(namespace, claim, path)
    return path


@pytest.fixture(scope="module")
def files(namespace: Namespace) -> Iterator[str]:
    path = disk(namespace, "ext4-files")
    on_node(f"mkdir {path}/pdfs; echo content > {path}/pdfs/offer.pdf; chown -R 1000:1000 {path}/pdfs")
    yield "ext4-files"
    forget_volume(namespace, "ext4-files")
    unmounted(path)


@pytest.fixture(scope="module")
def bundles(namespace: Namespace) -> Iterator[str]:
    path = disk(namespace, "ext4-bundles")
    yield "ext4-bundles"
    forget_volume(namespace, "ext4-bundles")
    namespace.delete("pod", "look-ext4-bundles-1000")
    unmounted(path)


def test_lost_and_found_at_the_root_of_a_claim_is_no_part_of_it(namespace: Namespace, files: str) -> None:
    everything = [{"name": ".", "claimName": files, "subPath": ""}]
    namespace.apply(a_backup("from-ext4", files=everything, pod={"runAsUser": 1000}))
    path = completed(namespace, "from-ext4")["destinations"][0]["path"]

    said = run_on(namespace, "quotenode-backups", f"tar xzOf {path} files.tar.gz | tar tz")

    assert "lost+found" not in said
    assert "pdfs/offer.pdf" in said


def test_a_root_owned_disk_is_refused_with_the_remedy_and_the_remedy_works(namespace: Namespace, bundles: str) -> None:
    storage = {"local": {"claimName": bundles}}
    namespace.apply(a_backup("to-ext4-unprepared", storage=storage, pod={"fsGroup": None}))
    failed(namespace, "to-ext4-unprepared", "DestinationNotWritable", 120, bundles, "spec.pod.fsGroup", "1000")

    namespace.apply(a_backup("to-ext4", storage=storage))
    path = completed(namespace, "to-ext4")["destinations"][0]["path"]

    assert run_on(namespace, bundles, f"tar tzf {path}").splitlines()


@pytest.fixture
def live_files(namespace: Namespace) -> Iterator[str]:
    """Where the node has files of an application that is particular about their groups and modes, and that no pod has mounted yet."""
    path = disk(namespace, "ext4-live")
    on_node(
        f"mkdir {path}/uploads; echo secret > {path}/uploads/offer.pdf; chown -R 1000:33 {path}/uploads;"
        f" chmod 750 {path}/uploads; chmod 600 {path}/uploads/offer.pdf; chown 1000:33 {path}; chmod 770 {path}"
    )
    yield path
    forget_volume(namespace, "ext4-live")
    namespace.delete("pod", "look-ext4-live-1000")
    unmounted(path)


def owners(path: str) -> str:
    return on_node(f"stat -c '%n %a %u:%g' {path} {path}/uploads {path}/uploads/*")


def test_a_backup_leaves_group_and_modes_of_the_files_as_they_are(namespace: Namespace, live_files: str) -> None:
    before = owners(live_files)
    files = [{"name": "uploads", "claimName": "ext4-live", "subPath": "uploads"}]

    namespace.apply(a_backup("from-live", files=files, pod={"runAsUser": 1000, "fsGroup": 1000}))
    completed(namespace, "from-live")
    assert owners(live_files) == before

    beside = {"local": {"claimName": "ext4-live", "subPath": "bundles"}}
    namespace.apply(a_backup("beside-live", files=files, storage=beside, pod={"runAsUser": 1000, "fsGroup": 1000}))
    completed(namespace, "beside-live")
    assert owners(live_files) == before
