"""Each bound of each field, from both sides, on a real API server. All are dry runs, sent in one request to kubectl."""

import json
import re
import secrets
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic.alias_generators import to_camel

from quotenode_backup.api.backup import BackupSpec
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
HISTORY = [0, 1000], [-1, 1001, "10"]

BOUNDS: dict[str, tuple[Values, Values]] = {
    "schedule": (
        [
            "0 2 * * *",
            "0 0 2 * * *",
            "59 59 23 31 12 7",
            "*/5 0-4,8 1,15 JAN-DEC MON#1",
            "0 0 L * *",
            "1," * 45 + "1 2 * * *",
        ],
        [
            "",
            "@daily",
            "* * * *",
            "0 0 0 2 * * *",
            "60 0 2 * * *",
            "*/10 0 2 * * *",
            "* 0 2 * * *",
            "0  2 * * *",
            " 0 2 * * *",
            "0 2 * * *\n",
            "0 2 * * ?",
            "1," * 46 + "11 2 * * *",
            2,
        ],
    ),
    "timeZone": (
        ["Etc/UTC", "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "a" * 64],
        ["", "a" * 65, "/UTC", "UTC/", "Europe//Berlin", "../UTC", "Europe Berlin", "ä"],
    ),
    "trigger": (["a", "2026-11-24, for the upgrade: Jane", "ü" * 63], ["", "a" * 64, 1, True]),
    "startingDeadlineSeconds": ([10, 3600, 604800], [9, 604801, 0, "60"]),
    "staleAfterSeconds": ([60, 172800, 31622400], [59, 31622401, 0, "60"]),
    "successfulRunsHistoryLimit": HISTORY,
    "failedRunsHistoryLimit": HISTORY,
    "retention.keepLast": ([1, 7, 365], [0, 366, -1, "7"]),
    "mode": (["Online", "Offline"], ["", "offline"]),
    "application.workloads": (
        [
            [{"name": "backend"}],
            [{"kind": "Deployment", "name": "a"}, {"kind": "StatefulSet", "name": "a"}],
            [{"name": f"w{n}"} for n in range(8)],
        ],
        [
            [],
            [{"name": f"w{n}"} for n in range(9)],
            [{"name": "a"}, {"kind": "Deployment", "name": "a"}],
            [{"kind": "Deployment"}],
        ],
    ),
    "application.workloads[].kind": (["Deployment", "StatefulSet"], ["", "deployment", "DaemonSet", "Pod"]),
    "application.workloads[].name": NAME,
    "deletionPolicy": (["Retain", "Delete"], ["", "delete", "Orphan"]),
    "auditLog": (["Enabled", "Disabled"], ["", "enabled", True]),
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

NIGHTLY = "0 0 2 * * *"
ONLY_SCHEDULED: Json = {
    "timeZone": "Europe/Berlin",
    "suspend": True,
    "trigger": "now",
    "startingDeadlineSeconds": 60,
    "staleAfterSeconds": 3600,
    "successfulRunsHistoryLimit": 5,
    "failedRunsHistoryLimit": 5,
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
        "application": {"workloads": [{"name": "backend"}]},
        "pod": {
            "resources": {"requests": {"cpu": 1}, "limits": {"cpu": 1}},
            "nodeSelector": {"k": "v"},
            "tolerations": [{"key": "k"}],
            "labels": {"k": "v"},
        },
    }


def spec_with(path: str, value: Any) -> Json:
    spec = whole() | ({"schedule": NIGHTLY} if path in ONLY_SCHEDULED else {})
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


def without(*fields: str) -> Json:
    return {key: value for key, value in whole().items() if key not in fields}


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
    "offline-of-nothing": (
        backup("offline-of-nothing", without("application") | {"mode": "Offline"}),
        "mode Offline needs application.workloads: what to stop and start again",
    ),
    "s" * 53: (
        backup("s" * 53, whole() | {"schedule": NIGHTLY}),
        "the name of a schedule has at most 52 characters: its runs are named after it",
    ),
    **{
        f"one-off-with-{field.lower()}": (
            backup(f"one-off-with-{field.lower()}", whole() | {field: value}),
            f"{'the history limits' if 'History' in field else field}",
        )
        for field, value in ONLY_SCHEDULED.items()
    },
}
FINE: dict[str, Json] = {
    "bundles-beside-files": whole()
    | {
        "files": [{"name": "u", "claimName": "files", "subPath": "a"}],
        "storage": {"local": {"claimName": "files", "subPath": "ab"}},
    },
    "n" * 63: whole(),
    "s" * 52: whole() | {"schedule": NIGHTLY} | ONLY_SCHEDULED,
    "least": {key: whole()[key] for key in ("database", "storage")},
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
    [("cron", "0 2 * * *"), ("database.password", "x"), ("pod.image", "x"), ("storage.remote", {})],
)
def test_an_unknown_field_is_refused_by_name(path: str, value: object) -> None:
    _, errors = dry_run(backup("unknown", spec_with(path, value)), strict=True)
    assert f'unknown field "spec.{path}"' in errors


# What a patch asks, for each field that a one-off can't change: another value, none, and where there was none, one.
CHANGES: dict[str, Values] = {
    "database": [{"port": 5433}, {"sslMode": "Require"}],
    "files": [None, [], [{"name": "pdfs", "claimName": "files"}]],
    "storage": [{"local": {"subPath": "a"}}],
    "retention": [{}, {"keepLast": 3}],
    "mode": ["Offline"],
    "application": [None, {"workloads": [{"name": "frontend"}]}],
    "activeDeadlineSeconds": [3600, None],
    "backoffLimit": [2, None],
    "auditLog": ["Disabled"],
    "pod": [None, {"labels": {"k": "w"}}],
}
CHANGED = {"activeDeadlineSeconds": 60, "backoffLimit": 0}
"""Other than the defaults, so that their removal is a change."""

Patch = Callable[[Json], str]


def live(name: str, spec: Json) -> Iterator[Patch]:
    """A resource that no operator watches. Gives what says how the API server would answer a patch of its spec."""
    kubectl = ("kubectl", "--namespace=default")
    body = json.dumps(backup(name, spec))
    subprocess.run([*kubectl, "create", "-f", "-"], input=body, text=True, check=True, timeout=60)

    def patched(changes: Json) -> str:
        change = ("patch", "quotenodebackup", name, "--type=merge", "--dry-run=server", "-p")
        asked = [*kubectl, *change, json.dumps({"spec": changes})]
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr

    yield patched
    subprocess.run([*kubectl, "delete", "quotenodebackup", name, "--wait=false"], check=True, timeout=60)


@pytest.fixture(scope="module")
def one_off() -> Iterator[Patch]:
    yield from live(f"frozen-{secrets.token_hex(4)}", whole() | CHANGED)


@pytest.fixture(scope="module")
def schedule() -> Iterator[Patch]:
    yield from live(f"nightly-{secrets.token_hex(4)}", whole() | CHANGED | {"schedule": NIGHTLY, "suspend": True})


EACH_CHANGE = [(field, value) for field, values in CHANGES.items() for value in values]
SENTENCE = "a backup's spec can't be changed, but for deletionPolicy: make a new QuoteNodeBackup"


@pytest.mark.parametrize(("field", "value"), EACH_CHANGE)
def test_a_one_off_cannot_be_changed(one_off: Patch, field: str, value: Any) -> None:
    assert SENTENCE in one_off({field: value})


@pytest.mark.parametrize(("field", "value"), EACH_CHANGE)
def test_a_schedule_can_be_changed(schedule: Patch, field: str, value: Any) -> None:
    assert schedule({field: value}).endswith("patched\n")


@pytest.mark.parametrize(("field", "value"), [*ONLY_SCHEDULED.items(), ("suspend", None), ("schedule", "* * * * *")])
def test_when_it_runs_can_be_changed_too(schedule: Patch, field: str, value: Any) -> None:
    said = schedule({field: value})
    assert "patched" in said, said


def test_what_becomes_of_the_bundle_can_be_said_until_the_end(one_off: Patch, schedule: Patch) -> None:
    for patch in (one_off, schedule):
        assert patch({"deletionPolicy": "Delete"}).endswith("patched\n")


def test_a_one_off_stays_one_and_a_schedule_too(one_off: Patch, schedule: Patch) -> None:
    sentence = "a one-off can't become a schedule, nor a schedule a one-off: make a new QuoteNodeBackup"
    assert sentence in one_off({"schedule": NIGHTLY})
    assert sentence in schedule({"schedule": None, "suspend": None})


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


def test_every_field_but_one_is_frozen_or_the_schedules_own() -> None:
    known = {*CHANGES, *ONLY_SCHEDULED, "schedule", "deletionPolicy"}
    assert known == {to_camel(name) for name in BackupSpec.model_fields}
