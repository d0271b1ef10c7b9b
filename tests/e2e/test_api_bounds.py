"""Each bound of each field, from both sides, on a real API server. All are dry runs, sent in one request to kubectl."""

import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from quotenode_backup.api.crd import backup_crd

pytestmark = pytest.mark.usefixtures("operator")  # the chart brings the CRD

Json = dict[str, Any]
Values = list[Any]

NAME = ["a", "a" * 253, "a-b.c1"], ["", "a" * 254, "A", "-a", "a-", "a..b", "a/b", "a b"]
KEY = ["k", "K.9_-x", "k" * 253], ["", "k" * 254, "a/b", "a b", "ä"]
SUB_PATH = (
    ["", "a", "a/b", "a" * 255, "..a", "a..b/c", ".hidden", "ü/ß"],
    ["/a", "a/", "a//b", "..", "a/..", "a/../b", "../a", ".", "a/./b", "a" * 256],
)
QUANTITY = [1, 64, "100m", "1.5", "2Gi", "7Ei"], ["", "-1", "1gb", "Gi", "1 Gi", "1e3", 1.5, "1" * 33]
LABEL_VALUE = ["", "a", "a" * 63, "A_b.c-9"], ["a" * 64, "-a", "a-", "a b", "a/b"]
ID = [1, 2147483647], [0, -1, 2147483648, "1"]

BOUNDS: dict[str, tuple[Values, Values]] = {
    "database.host": (
        ["a", "db.shop.svc", "10.0.0.1", "fd00::1", "::1", "a" * 253, "db."],
        ["", "a" * 254, "-a", "a b", "a/b", "host=evil port", "a,b", "/var/run", "ä"],
    ),
    "database.port": ([1, 5432, 65535], [0, 65536, -1, "5432", 1.5]),
    "database.name": (
        ["a", "quote\"node'; x=y", "postgres://evil/", "-F", "a\nb", " ", "a" * 63, "数" * 21],
        ["", "a" * 64, "数" * 22, "数" * 63, "a\0b"],
    ),
    "database.credentialsSecretRef.name": NAME,
    "database.credentialsSecretRef.usernameKey": KEY,
    "database.credentialsSecretRef.passwordKey": KEY,
    "database.caSecretRef.name": NAME,
    "database.caSecretRef.key": KEY,
    "database.sslMode": (
        ["Disable", "Allow", "Prefer", "Require", "VerifyCA", "VerifyFull"],
        ["", "require", "verify-full", "None"],
    ),
    "database.compression": (["Zstd", "Gzip", "None"], ["", "zstd", "Lz4"]),
    "files": (
        [[], *([{"name": f"f{n}", "claimName": f"c{n}"} for n in range(count)] for count in (1, 8))],
        [
            [{"name": f"f{n}", "claimName": f"c{n}"} for n in range(9)],
            [{"name": "a", "claimName": "c"}, {"name": "a", "claimName": "d"}],
            [{"name": ".", "claimName": "c"}, {"name": "a", "claimName": "d"}],
            [{"claimName": "c"}],
            [{"name": "a"}],
        ],
    ),
    "files[].name": (
        [".", "a", "_a", "A.b-c", "a" * 63],
        ["", "..", ".a", "-a", "a/b", "a b", "a" * 64, "ä"],
    ),
    "files[].claimName": NAME,
    "files[].subPath": SUB_PATH,
    "storage.local.claimName": NAME,
    "storage.local.subPath": SUB_PATH,
    "activeDeadlineSeconds": ([30, 1800, 604800], [29, 604801, 0, -1, "60"]),
    "backoffLimit": ([0, 10], [-1, 11, "1"]),
    "pod.resources.requests": (
        [{}, {"cpu": 1, "memory": "1Gi", "ephemeral-storage": "1Gi"}],
        [{"nvidia.com/gpu": 1}, {"Memory": 1}],
    ),
    "pod.resources.requests{}": QUANTITY,
    "pod.resources.limits": ([{}, {"cpu": 1}], [{"storage": 1}]),
    "pod.resources.limits{}": QUANTITY,
    "pod.nodeSelector": (
        [{}, {f"k{n}": "v" for n in range(16)}, {"example.com/disk": "ssd"}],
        [{f"k{n}": "v" for n in range(17)}, {"-k": "v"}, {"a b": "v"}, {"/k": "v"}],
    ),
    "pod.nodeSelector{}": LABEL_VALUE,
    "pod.tolerations": ([[], [{"operator": "Exists"}] * 16], [[{"operator": "Exists"}] * 17]),
    "pod.tolerations[].key": (["disk", "k" * 317], ["k" * 318]),
    "pod.tolerations[].operator": (["Exists", "Equal"], ["", "exists", "Lt"]),
    "pod.tolerations[].value": (["", "v" * 63], ["v" * 64]),
    "pod.tolerations[].effect": (["NoSchedule", "PreferNoSchedule", "NoExecute"], ["", "noExecute"]),
    "pod.tolerations[].tolerationSeconds": ([0, 86400], [-1, 86401]),
    "pod.priorityClassName": NAME,
    "pod.runAsUser": ID,
    "pod.fsGroup": ID,
    "pod.labels": (
        [{}, {f"k{n}": "v" for n in range(16)}, {"example.com/role": "backup"}],
        [
            {f"k{n}": "v" for n in range(17)},
            {"backup.quotenode.io/run": "x"},
            {"app.kubernetes.io/managed-by": "x"},
            {"batch.kubernetes.io/job-name": "x"},
        ],
    ),
    "pod.labels{}": LABEL_VALUE,
}


def whole() -> Json:
    """A spec with something in every place that a path can go through."""
    return {
        "database": {
            "host": "db",
            "name": "shop",
            "credentialsSecretRef": {"name": "login"},
            "caSecretRef": {"name": "authority"},
        },
        "files": [{"name": "uploads", "claimName": "files"}],
        "storage": {"local": {"claimName": "bundles"}},
        "pod": {
            "resources": {"requests": {"cpu": 1}, "limits": {"cpu": 1}},
            "nodeSelector": {"k": "v"},
            "tolerations": [{"key": "k"}],
            "labels": {"k": "v"},
        },
    }


def spec_with(path: str, value: Any) -> Json:
    spec = whole()
    *way, last = re.findall(r"\w+|\[\]|\{\}", path)
    place: Any = spec
    for step in way:
        place = place[0] if step == "[]" else place.setdefault(step, {})
    place[next(iter(place)) if last == "{}" else last] = value
    return spec


def backup(name: str, spec: Json) -> Json:
    return {
        "apiVersion": "backup.quotenode.io/v1beta1",
        "kind": "QuoteNodeBackup",
        "metadata": {"name": name},
        "spec": spec,
    }


ROWS = [
    (path, value, fits)
    for path, sides in BOUNDS.items()
    for values, fits in zip(sides, (True, False), strict=True)
    for value in values
]
WITHOUT_CA = {key: value for key, value in whole()["database"].items() if key != "caSecretRef"}
OTHERS: dict[str, tuple[Json, str]] = {
    "verify-without-ca": (
        backup("verify-without-ca", whole() | {"database": WITHOUT_CA | {"sslMode": "VerifyFull"}}),
        "sslMode VerifyCA and VerifyFull need caSecretRef",
    ),
    "bundles-in-files": (
        backup("bundles-in-files", whole() | {"storage": {"local": {"claimName": "files", "subPath": "a"}}}),
        "storage.local lies inside one of files",
    ),
    "bundles-in-subpath": (
        backup(
            "bundles-in-subpath",
            whole()
            | {
                "files": [{"name": "u", "claimName": "files", "subPath": "a"}],
                "storage": {"local": {"claimName": "files", "subPath": "a/b"}},
            },
        ),
        "storage.local lies inside one of files",
    ),
    "n" * 64: (backup("n" * 64, whole()), "the name of a QuoteNodeBackup has at most 63 characters"),
    "no-database": (
        backup("no-database", {"storage": {"local": {"claimName": "bundles"}}}),
        "spec.database: Required value",
    ),
    "no-storage": (backup("no-storage", {"database": whole()["database"]}), "spec.storage: Required value"),
    "no-local": (backup("no-local", whole() | {"storage": {}}), "spec.storage.local: Required value"),
}
FINE: dict[str, Json] = {
    "bundles-beside-files": whole()
    | {
        "files": [{"name": "u", "claimName": "files", "subPath": "a"}],
        "storage": {"local": {"claimName": "files", "subPath": "ab"}},
    },
    "n" * 63: whole(),
}


def dry_run(*backups: Json, strict: bool = False) -> tuple[str, str]:
    """What the API server would say to all of these: kubectl's output and errors. `strict`: also about fields it does not know."""
    done = subprocess.run(
        ["kubectl", "create", "--dry-run=server", f"--validate={'strict' if strict else 'ignore'}", "--filename=-"],
        input="\n".join(json.dumps(body) for body in backups),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def answers() -> tuple[set[str], dict[str, str]]:
    """The names of what was accepted, and what was said about each that was not."""
    rows = [backup(f"row-{number}", spec_with(path, value)) for number, (path, value, _) in enumerate(ROWS)]
    others = [body for body, _ in OTHERS.values()] + [backup(name, spec) for name, spec in FINE.items()]
    output, errors = dry_run(*rows, *others)
    accepted = set(re.findall(r"^quotenodebackup\S*/(\S+) created", output, re.MULTILINE))
    parts = re.split(r"^.*?QuoteNodeBackup(?:\S*)? \"([^\"]+)\" is invalid: ?", errors, flags=re.MULTILINE)
    return accepted, dict(zip(parts[1::2], parts[2::2], strict=True))


Answers = tuple[set[str], dict[str, str]]


@pytest.mark.parametrize(
    "number", range(len(ROWS)), ids=lambda n: f"{ROWS[n][0]}-{ROWS[n][2]}-{str(ROWS[n][1])[:20]!a}"
)
def test_a_value_fits_its_field_or_is_refused_with_its_place(answers: Answers, number: int) -> None:
    accepted, refused = answers
    path, _, fits = ROWS[number]
    name = f"row-{number}"
    if fits:
        assert name in accepted, refused.get(name)
    else:
        assert name not in accepted
        assert f"spec.{path.partition('[')[0].partition('{')[0]}" in refused[name] or "spec: " in refused[name]


@pytest.mark.parametrize("name", OTHERS)
def test_what_does_not_go_together_is_refused_with_a_sentence(answers: Answers, name: str) -> None:
    assert name not in answers[0]
    assert OTHERS[name][1] in answers[1][name]


@pytest.mark.parametrize("name", FINE)
def test_what_is_just_within_the_rules_is_accepted(answers: Answers, name: str) -> None:
    assert name in answers[0], answers[1].get(name)


@pytest.mark.parametrize(
    ("path", "value"),
    [("schedule", "0 2 * * *"), ("database.password", "x"), ("pod.image", "x"), ("storage.remote", {})],
)
def test_an_unknown_field_is_refused_by_name(path: str, value: object) -> None:
    _, errors = dry_run(backup("unknown", spec_with(path, value)), strict=True)
    assert f'unknown field "spec.{path}"' in errors


def test_a_spec_cannot_be_changed() -> None:
    name = f"frozen-{secrets.token_hex(4)}"
    body = backup(name, whole())
    kubectl = ("kubectl", "--namespace=default")
    subprocess.run([*kubectl, "create", "-f", "-"], input=json.dumps(body), text=True, check=True, timeout=60)
    try:
        patch = '{"spec":{"backoffLimit":2}}'
        change = [*kubectl, "patch", "quotenodebackup", name, "--type=merge", "-p", patch]
        refused = subprocess.run(change, capture_output=True, text=True, check=False, timeout=60)
        assert "a backup's spec can't be changed: make a new QuoteNodeBackup" in refused.stderr
    finally:
        subprocess.run([*kubectl, "delete", "quotenodebackup", name, "--wait=false"], check=True, timeout=60)


def bounded(schema: Json, path: str = "") -> Iterator[str]:
    """The paths of all fields that the CRD bounds in any way."""
    marks = {"maxLength", "maximum", "minimum", "maxItems", "maxProperties", "enum", "pattern"}
    if path and marks & set(schema):
        yield path
    for name, child in schema.get("properties", {}).items():
        yield from bounded(child, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from bounded(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from bounded(schema["additionalProperties"], f"{path}{{}}")


def test_the_table_has_a_row_for_every_bounded_field() -> None:
    root = backup_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert set(bounded(root["properties"]["spec"])) == set(BOUNDS)
