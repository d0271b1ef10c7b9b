"""What the API server takes and what it refuses: each bound of each field from both sides, and each rule with its sentence.

The bounds are read from the CRD, so a new field is tested as soon as it is there. Everything is asked in one dry run.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from quotenode_backup.domain.naming import digest
from tests.e2e.backups import a_backup
from tests.e2e.kubectl import Json, Namespace, Refused

CRD = yaml.safe_load((Path(__file__).parents[2] / "crds" / "quotenodebackups.yaml").read_text())
SPEC: Json = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


Path_ = tuple[str | int, ...]
"""Where in the spec."""


@dataclass(frozen=True)
class Case:
    """A change to a good spec. `refusal`: part of the sentence; empty when it must be taken."""

    name: str
    path: Path_
    value: Any
    refusal: str = ""

    @property
    def resource(self) -> str:
        return f"case-{digest(self.name)}"

    @property
    def field(self) -> str:
        """As the API server spells the path."""
        return re.sub(r"\.(\d+)", r"[\1]", ".".join(map(str, ("spec", *self.path))))

    @property
    def body(self) -> Json:
        body = full_backup(self.resource)
        target = body["spec"]
        for step in self.path[:-1]:
            target = target[step]
        if self.value is ...:
            del target[self.path[-1]]
        else:
            target[self.path[-1]] = self.value
        return body


def full_backup(name: str) -> Json:
    """A backup with a good value in every field, so that each can be changed alone."""
    return a_backup(
        name,
        database={
            "port": 5432,
            "sslMode": "VerifyFull",
            "compression": "Zstd",
            "credentialsSecretRef": {"name": "db", "usernameKey": "u", "passwordKey": "p"},
            "caSecretRef": {"name": "ca", "key": "ca.crt"},
        },
        files=[{"name": "a", "claimName": "files", "subPath": "x"}],
        storage={"local": {"claimName": "bundles", "subPath": "y"}},
        activeDeadlineSeconds=1800,
        backoffLimit=1,
        pod={
            "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
            "nodeSelector": {"disk": "fast"},
            "tolerations": [
                {"key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute", "tolerationSeconds": 5}
            ],
            "priorityClassName": "high",
            "runAsUser": 1000,
            "fsGroup": 1000,
            "labels": {"team": "sales"},
        },
    )


def bounds(node: Json, path: Path_) -> Iterator[Case]:
    """Both sides of every bound of a field and of all below it."""
    name = ".".join(map(str, path))
    yield from bounds_of_number(node, path, name)
    yield from bounds_of_text(node, path, name)
    yield from bounds_of_many(node, path, name)
    for child, schema in node.get("properties", {}).items():
        if child in node.get("required", []):
            yield Case(f"{name}.{child} is left out", (*path, child), ..., "Required value")
        yield from bounds(schema, (*path, child))
    if node.get("type") == "object" and path:
        yield Case(f"{name} has a field nobody knows", (*path, "unheardOf"), True, REFUSAL_OF_UNKNOWN[is_map(node)])


def bounds_of_number(node: Json, path: Path_, name: str) -> Iterator[Case]:
    if node.get("type") != "integer":
        return
    yield Case(f"{name} is no number", path, "many", "must be of type integer")
    yield Case(f"{name} at its least", path, node["minimum"])
    yield Case(f"{name} below its least", path, node["minimum"] - 1, "should be greater than or equal")
    yield Case(f"{name} at its most", path, node["maximum"])
    yield Case(f"{name} above its most", path, node["maximum"] + 1, "should be less than or equal")


def bounds_of_text(node: Json, path: Path_, name: str) -> Iterator[Case]:
    is_quantity = bool(node.get("x-kubernetes-int-or-string"))
    if "maxLength" in node:
        filler = "1" if is_quantity else "a"
        yield Case(f"{name} as long as can be", path, filler * node["maxLength"])
        yield Case(f"{name} too long", path, filler * (node["maxLength"] + 1), "Too long")
    if "minLength" in node:
        yield Case(f"{name} empty", path, "", "should be at least 1 chars long")
    if "pattern" in node and "^[^\\x00]" not in node["pattern"]:
        yield Case(f"{name} of odd letters", path, "/ö !/", "should match")
    for word in node.get("enum", []):
        yield Case(f"{name} is {word}", path, word)
    if "enum" in node:
        yield Case(f"{name} is a word it does not know", path, "Whatever", "Unsupported value")


REFUSAL_OF_UNKNOWN = {True: "invalid", False: "unknown field"}


def is_map(node: Json) -> bool:
    return "additionalProperties" in node


def bounds_of_many(node: Json, path: Path_, name: str) -> Iterator[Case]:
    if "maxItems" in node:
        most = node["maxItems"]
        yield Case(f"{name} has as many as can be", path, items(path, most))
        yield Case(f"{name} has too many", path, items(path, most + 1), "must have at most")
        yield from bounds(node["items"], (*path, 0))
    if is_map(node) and "resources" not in path:
        most = node["maxProperties"]
        yield Case(f"{name} has as many as can be", path, {f"k{n}": "v" for n in range(most)})
        yield Case(f"{name} has too many", path, {f"k{n}": "v" for n in range(most + 1)}, "must have at most")
        yield Case(f"{name} has a key that is no label's", path, {"not a label": "v"}, "a key is the name of a label")
        yield from bounds(node["additionalProperties"], (*path, next(iter(sample(path)))))
    if is_map(node) and "resources" in path:
        yield from bounds(node["additionalProperties"], (*path, next(iter(sample(path)))))


def sample(path: Path_) -> Any:
    """What a good backup has at this path."""
    value: Any = full_backup("sample")["spec"]
    for step in path:
        value = value[step]
    return value


def items(path: Path_, count: int) -> list[Json]:
    if path[-1] == "files":
        return [{"name": f"f{n}", "claimName": f"claim-{n}"} for n in range(count)]
    return [{"operator": "Exists"} for _ in range(count)]


LONGEST_NAME = "界" * 21

RULES = [
    Case("a database's name of 63 bytes", ("database", "name"), LONGEST_NAME),
    Case("a database's name of 66 bytes", ("database", "name"), LONGEST_NAME + "界", "at most 63 bytes"),
    *(
        Case(f"a database called {name!r}", ("database", "name"), name)
        for name in ("quote\"node'; x=y", "postgres://evil/", "-F", "two\nlines", "$(touch /x)", "host=evil dbname=x")
    ),
    *(
        Case(f"{host!r} as a host", ("database", "host"), host, "should match")
        for host in ("postgres://u:p@evil/x", "a b", "a,b", "user:secret@db", "/run/postgresql", "-x")
    ),
    *(Case(f"{host!r} as a host", ("database", "host"), host) for host in ("db.example.org", "10.1.2.3", "::1")),
    Case("VerifyFull without an authority", ("database", "caSecretRef"), ..., "need caSecretRef"),
    *(
        Case(f"{sub!r} as a subPath", ("files", 0, "subPath"), sub, refusal)
        for sub, refusal in {
            "..": "relative, without . and ..",
            "a/../b": "relative, without . and ..",
            "a/./b": "relative, without . and ..",
            "/a": "should match",
            "a/": "should match",
            "a//b": "should match",
            "a/..b/c..": "",
        }.items()
    ),
    Case(
        "the root's name beside another",
        ("files",),
        [{"name": ".", "claimName": "a"}, {"name": "b", "claimName": "b"}],
        "the only one",
    ),
    Case("the root's name alone", ("files",), [{"name": ".", "claimName": "a"}]),
    Case("two of one name", ("files",), [{"name": "a", "claimName": "a"}] * 2, "Duplicate value"),
    Case("a name that leaves the archive", ("files", 0, "name"), "..", "should match"),
    Case("bundles inside the files", ("storage", "local", "claimName"), "files"),
    Case(
        "bundles inside the whole claim",
        ("files",),
        [{"name": "a", "claimName": "bundles"}],
        "would hold all the bundles",
    ),
    Case(
        "bundles inside a folder of files",
        ("files",),
        [{"name": "a", "claimName": "bundles", "subPath": "y"}],
        "would hold all the bundles",
    ),
    Case("bundles beside a folder of files", ("files",), [{"name": "a", "claimName": "bundles", "subPath": "yy"}]),
    Case("resources of a kind nobody knows", ("pod", "resources", "limits"), {"gpu": "1"}, "only these keys are known"),
    Case("a quantity that is none", ("pod", "resources", "limits"), {"memory": "much"}, "should match"),
    *(
        Case(f"the label {key}", ("pod", "labels"), {key: "x"}, "are taken")
        for key in ("backup.quotenode.io/run", "app.kubernetes.io/managed-by", "batch.kubernetes.io/job-name")
    ),
    *(
        Case(f"pod.{word} can't be chosen", ("pod", word), "x", "unknown field")
        for word in ("image", "command", "serviceAccountName", "securityContext", "volumes", "env")
    ),
]

CASES = [*bounds(SPEC, ()), *RULES]


@pytest.fixture(scope="module")
def namespace(watched: Callable[[str], Namespace]) -> Namespace:
    return watched("api")


@pytest.fixture(scope="module")
def answers(namespace: Namespace) -> dict[str, str]:
    """What the API server says to each case: the name of the resource -> its sentence, empty when it would take it."""
    found = {case.resource: "no answer" for case in CASES}
    for some in (CASES[start : start + 60] for start in range(0, len(CASES), 60)):
        listed = "\n".join(json.dumps(case.body) for case in some)
        command = ["kubectl", f"--namespace={namespace.name}", "create", "--dry-run=server", "--filename=-"]
        done = subprocess.run(command, input=listed, capture_output=True, text=True, timeout=240)
        for line in done.stdout.splitlines():
            taken = re.match(r"quotenodebackup\S*/(\S+) created", line)
            if taken:
                found[taken[1]] = ""
        for said in re.split(r"\n(?=The QuoteNodeBackup|Error from server)", done.stderr):
            refused = re.search(r"case-\w+", said)
            if refused:
                found[refused[0]] = said
            unknown = re.search(r'unknown field "(.+?)"', said)  # said before the name is read
            found |= {case.resource: said for case in some if unknown and case.field == unknown[1]}
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_api_server_takes_what_is_good_and_says_why_not(answers: dict[str, str], case: Case) -> None:
    said = answers[case.resource]

    if case.refusal:
        assert case.refusal in said, said or "it was taken"
    else:
        assert said == ""


def test_a_name_may_have_63_characters_and_no_more(namespace: Namespace) -> None:
    namespace.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(a_backup("n" * 63)))

    with pytest.raises(Refused, match="at most 63 characters"):
        namespace.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(a_backup("n" * 64)))


def test_a_spec_can_not_be_changed(namespace: Namespace) -> None:
    body = a_backup("frozen", database={"host": "no-such-host"}, files=[], pod={"runAsUser": 1000})
    namespace.apply(body)

    with pytest.raises(Refused, match="can't be changed: make a new QuoteNodeBackup"):
        namespace.kubectl("patch", "qnb", "frozen", "--type=merge", "--patch", '{"spec":{"backoffLimit":3}}')
