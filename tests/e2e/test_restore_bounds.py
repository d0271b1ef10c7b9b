"""What a QuoteNodeRestore may say, from both sides of each rule, on a real API server. All but one are dry runs."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.test_admission import done, kubectl

pytestmark = pytest.mark.usefixtures("operator")  # the chart brings the CRD

Json = dict[str, Any]
DATABASE: Json = {"host": "db", "name": "shop", "credentialsSecretRef": {"name": "login"}}
FIRST: Json = {"source": {"backupName": "first"}}
ARCHIVE: Json = {"source": {"archive": {"claimName": "bundles", "path": "a/b.tar"}}, "database": DATABASE}
HEALTH = "spec.application.healthCheck"


def files(*places: tuple[str, str]) -> list[Json]:
    """`places`: claim and subPath of each."""
    return [{"name": f"f{n}", "claimName": claim, "subPath": path} for n, (claim, path) in enumerate(places)]


def latest(before: Any) -> Json:
    return {"source": {"latestOf": {"schedule": "nightly", "before": before}}}


def health(**fields: Any) -> Json:
    return FIRST | {"application": {"healthCheck": {"url": "http://backend/healthz"} | fields}}


FINE: dict[str, Json] = {
    "shortest": FIRST,
    "latest": latest("2026-11-24T14:00:00Z"),
    "latest-with-offset": latest("2026-11-24T14:00:00.5+01:00"),
    "archive": ARCHIVE,
    "archive-root": ARCHIVE | {"source": {"archive": {"claimName": "bundles"}}},
    "archive-files": ARCHIVE | {"components": ["Files"], "files": files(("data", ""))},
    "archive-beside-files": ARCHIVE | {"files": files(("bundles", "ab"))},
    "undo": {"source": {"undoOf": "earlier"}, "dryRun": True, "application": {"workloads": []}},
    "hash": {"source": {"backupName": "first", "sha256": "0123456789abcdef" * 4}},
    "parts": FIRST | {"components": ["Files", "Database"]},
    "neighbours": FIRST | {"files": files(("data", "a"), ("data", "ab"), ("data", "b/a"), ("other", ""))},
    "eight": FIRST | {"files": files(*((f"c{n}", "") for n in range(8)))},
    "root-alone": FIRST | {"files": [{"name": ".", "claimName": "data"}]},
    "free-space": FIRST | {"database": DATABASE | {"freeSpace": "20Gi"}},
    "free-bytes": FIRST | {"database": DATABASE | {"freeSpace": 21474836480}},
    "all-flags": FIRST | {"database": DATABASE | {"allowOtherDatabase": True, "allowReplicationLoss": True}},
    "replicas": FIRST | {"application": {"workloads": [{"name": "a", "replicas": 0}, {"name": "b", "replicas": 1000}]}},
    "health": health(timeoutSeconds=3600),
    "kept": FIRST | {"keepReplacedSeconds": 31622400, "activeDeadlineSeconds": 604800, "backoffLimit": 10},
    "not-kept": FIRST | {"keepReplacedSeconds": 0, "activeDeadlineSeconds": 60, "backoffLimit": 0},
    "n" * 63: FIRST,
}
EXACTLY_ONE = "source: set exactly one of backupName, latestOf, archive and undoOf"
INSIDE = "files: one of the folders lies inside another"
REFUSED: dict[str, tuple[Json, str]] = {
    "nothing": ({}, "spec.source: Required value"),
    "no-source": ({"source": {}}, EXACTLY_ONE),
    "two-sources": ({"source": {"backupName": "a", "undoOf": "b"}}, EXACTLY_ONE),
    "latest-of-all": ({"source": {"latestOf": {"schedule": "nightly"}}}, "latestOf.before: Required value"),
    "no-moment": (latest("yesterday"), "spec.source.latestOf.before"),
    "no-zone": (latest("2026-11-24T14:00:00"), "spec.source.latestOf.before"),
    "short-hash": ({"source": {"backupName": "a", "sha256": "0" * 63}}, "spec.source.sha256"),
    "upper-hash": ({"source": {"backupName": "a", "sha256": "A" * 64}}, "spec.source.sha256"),
    "hash-of-undo": ({"source": {"undoOf": "a", "sha256": "0" * 64}}, "source.undoOf reads no bundle"),
    "archive-alone": ({"source": ARCHIVE["source"]}, "source.archive needs database"),
    "archive-only-files": (ARCHIVE | {"components": ["Files"]}, "source.archive with component Files needs files"),
    "outside": (ARCHIVE | {"source": {"archive": {"claimName": "b", "path": "a/../b"}}}, "a path inside a claim"),
    "absolute": (ARCHIVE | {"source": {"archive": {"claimName": "b", "path": "/a"}}}, "spec.source.archive.path"),
    "archive-in-claim": (ARCHIVE | {"files": files(("bundles", ""))}, "source.archive lies inside one of files"),
    "archive-in-folder": (ARCHIVE | {"files": files(("bundles", "a"))}, "source.archive lies inside one of files"),
    "undo-elsewhere": ({"source": {"undoOf": "a"}, "database": DATABASE}, "leave components, database and files out"),
    "undo-files": ({"source": {"undoOf": "a"}, "files": files(("a", ""))}, "leave components, database and files out"),
    "undo-part": ({"source": {"undoOf": "a"}, "components": ["Files"]}, "leave components, database and files out"),
    "undo-itself": ({"source": {"undoOf": "undo-itself"}}, "names this restore itself"),
    "no-part": (FIRST | {"components": []}, "spec.components"),
    "one-part-twice": (FIRST | {"components": ["Files", "Files"]}, "spec.components"),
    "unknown-part": (FIRST | {"components": ["Tables"]}, "spec.components"),
    "files-left-out": (FIRST | {"components": ["Database"], "files": files(("a", ""))}, "components leaves Files out"),
    "no-files": (FIRST | {"files": []}, "spec.files"),
    "nine": (FIRST | {"files": files(*((f"c{n}", "") for n in range(9)))}, "spec.files"),
    "one-twice": (FIRST | {"files": files(("data", "a"), ("data", "a"))}, INSIDE),
    "one-in-another": (FIRST | {"files": files(("data", "a"), ("data", "a/b"))}, INSIDE),
    "one-in-all": (FIRST | {"files": files(("data", "a"), ("data", ""))}, INSIDE),
    "root-and-more": (
        FIRST | {"files": [{"name": ".", "claimName": "a"}, {"name": "b", "claimName": "b"}]},
        "files: the name . takes the whole archive",
    ),
    "measured-and-said": (
        FIRST | {"database": DATABASE | {"claimName": "data", "freeSpace": "1Gi"}},
        "set claimName or freeSpace, not both",
    ),
    "unverified": (FIRST | {"database": DATABASE | {"sslMode": "VerifyFull"}}, "need caSecretRef"),
    "half-a-database": (FIRST | {"database": {"freeSpace": "1Gi"}}, "spec.database.host: Required value"),
    "negative": (FIRST | {"application": {"workloads": [{"name": "a", "replicas": -1}]}}, "replicas"),
    "password-in-url": (health(url="http://a:b@c/"), f"{HEALTH}.url"),
    "file-url": (health(url="file:///etc/passwd"), f"{HEALTH}.url"),
    "patient": (health(timeoutSeconds=3601), f"{HEALTH}.timeoutSeconds"),
    "kept-for-ever": (FIRST | {"keepReplacedSeconds": 31622401}, "spec.keepReplacedSeconds"),
    "too-fast": (FIRST | {"activeDeadlineSeconds": 59}, "spec.activeDeadlineSeconds"),
    "n" * 64: (FIRST, "the name of a QuoteNodeRestore has at most 63 characters"),
}
Answers = tuple[set[str], dict[str, str]]


def restore(name: str, spec: Json) -> Json:
    return {
        "apiVersion": "backup.quotenode.io/v1beta1",
        "kind": "QuoteNodeRestore",
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.fixture(scope="module")
def answers() -> Answers:
    """The names of what was accepted, and what was said about each that was not."""
    bodies = [restore(name, spec) for name, spec in FINE.items()]
    bodies += [restore(name, spec) for name, (spec, _) in REFUSED.items()]
    command = ("create", "--dry-run=server", "--validate=ignore", "--filename=-")
    said = kubectl(*command, stdin="\n".join(json.dumps(body) for body in bodies))
    accepted = set(re.findall(r"^quotenoderestore\S*/(\S+) created", said.stdout, re.MULTILINE))
    parts = re.split(r"^.*?QuoteNodeRestore(?:\S*)? \"([^\"]+)\" is invalid: ?", said.stderr, flags=re.MULTILINE)
    return accepted, dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", FINE)
def test_what_is_just_within_the_rules_is_accepted(answers: Answers, name: str) -> None:
    assert name in answers[0], answers[1].get(name)


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_with_a_sentence(answers: Answers, name: str) -> None:
    assert name not in answers[0]
    assert REFUSED[name][1] in answers[1][name]


# What a patch asks, for each field that can't be changed: another value, none, and where there was none, one.
CHANGES: dict[str, list[Any]] = {
    "source": [{"backupName": "other"}, {"sha256": "0" * 64}],
    "dryRun": [True],
    "components": [["Database"], None],
    "database": [{"port": 5433}, None],
    "files": [None, files(("other", ""))],
    "application": [None, {"workloads": []}],
    "activeDeadlineSeconds": [3600],
    "backoffLimit": [2],
    "pod": [{"fsGroup": 1}],
}
EACH_CHANGE = [(field, value) for field, values in CHANGES.items() for value in values]


@pytest.fixture(scope="module")
def patched() -> Iterator[Callable[[Json], str]]:
    """A restore in a namespace that no operator watches; gives what says how the API server answers a patch of it."""
    name = f"frozen-{secrets.token_hex(4)}"
    done(kubectl("create", "namespace", name))
    spec = FIRST | {
        "components": ["Database", "Files"],
        "database": DATABASE,
        "files": files(("data", "")),
        "application": {"workloads": [{"name": "backend"}]},
    }
    done(kubectl("create", "-n", name, "-f", "-", stdin=json.dumps(restore("frozen", spec))))

    def answer(changes: Json) -> str:
        change = ("patch", "quotenoderestore", "frozen", "-n", name, "--type=merge", "--dry-run=server", "-p")
        said = kubectl(*change, json.dumps({"spec": changes}))
        return said.stdout + said.stderr

    yield answer
    done(kubectl("delete", "namespace", name, "--wait=false"))


@pytest.mark.parametrize(("field", "value"), EACH_CHANGE)
def test_a_restore_cannot_be_changed(patched: Callable[[Json], str], field: str, value: Any) -> None:
    said = patched({field: value})
    assert "a restore's spec can't be changed, but for keepReplacedSeconds: make a new QuoteNodeRestore" in said


def test_how_long_the_replaced_data_is_kept_can_be_changed(patched: Callable[[Json], str]) -> None:
    assert patched({"keepReplacedSeconds": 0}).endswith("patched\n")
