import re

import pytest

from tests.cluster import bases, golang, nodeimage, tools, versions
from tests.cluster.cache import Cache, default_root

GO_MOD = """\
module k8s.io/kubernetes

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/kubelet => ./staging/src/k8s.io/kubelet
)
require k8s.io/utils v0.0.0-2025
"""


def test_staging_modules_are_those_that_kubernetes_replaces_by_its_own_tree() -> None:
    assert golang.staging_modules(GO_MOD) == ["k8s.io/api", "k8s.io/kubelet"]


def test_kubernetes_is_built_with_its_modules_of_the_same_release() -> None:
    written = golang.kubernetes_go_mod("v1.34.4", ["k8s.io/api"])

    assert "require k8s.io/kubernetes v1.34.4\n" in written
    assert "replace k8s.io/api => k8s.io/api v0.34.4\n" in written
    assert written.count("\ntool ") == len(golang.KUBERNETES_PROGRAMS)


def test_kubernetes_learns_its_version_from_the_linker() -> None:
    flags = golang.kubernetes_flags("v1.34.4")

    assert "version.gitVersion=v1.34.4 " in flags
    assert flags.endswith("version.gitMinor=34")


def test_mirrors_are_turned_to_the_suite_asked_for() -> None:
    targets = "m://a/ bookworm main\nm://a/ bookworm contrib\nm://a/ bookworm-updates main\nm://s/ bookworm-security main\nm://x/ other main"

    assert bases.suite_lines(targets, "bookworm", "trixie") == [
        "deb m://a/ trixie main",
        "deb m://a/ trixie-updates main",
        "deb m://s/ trixie-security main",
    ]


def test_where_this_is_no_debian_the_bootstrap_tool_keeps_its_default() -> None:
    assert bases.suite_lines("m://a/ noble main", None, "trixie") == []


@pytest.mark.parametrize(
    ("name", "printed", "enough"),
    [
        ("kind", "kind v0.33.0 go1.26.8 linux/amd64", True),
        ("kind", "kind v0.29.0 go1.24.4 linux/amd64", False),
        ("helm", "v3.22.0+gabcdef", True),
        ("helm", "v3.9.4+gabcdef", False),
        ("helm", "v4.0.1+gabcdef", True),
        ("restic", "restic 0.18.1 compiled with go1.26.8 on linux/amd64", True),
        ("kubectl", '{"clientVersion": {"gitVersion": "v1.32.4-dispatcher", "goVersion": "go1.23.6"}}', True),
        ("kubectl", '{"clientVersion": {"gitVersion": "v1.20.2", "goVersion": "go1.99.6"}}', False),
        ("helm", "", False),
    ],
)
def test_a_tool_is_taken_only_when_new_enough(name: str, printed: str, enough: bool) -> None:
    assert tools.is_new_enough(name, printed) is enough


def test_every_tool_has_a_floor_and_a_way_to_be_built() -> None:
    known = set(tools.VERSION_COMMANDS)
    assert known <= set(versions.MINIMUM)
    assert known == set(tools.builders(Cache(default_root())))


def test_a_node_image_is_named_by_its_inputs() -> None:
    name = f"{nodeimage.REPOSITORY}:{nodeimage.image_key()}"

    assert nodeimage.is_built_here(name)
    assert not nodeimage.is_built_here(versions.PUBLISHED_NODE_IMAGE)
    assert re.fullmatch(r"[0-9a-f]{16}", nodeimage.image_key())
