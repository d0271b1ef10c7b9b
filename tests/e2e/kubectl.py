"""kubectl, as a person has it, with JSON in and out."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


class Refused(Exception):
    """kubectl said no. The message is its own."""


def kubectl(*arguments: str, stdin: str = "", timeout: float = 120) -> str:
    done = subprocess.run(
        ["kubectl", *arguments], input=stdin, capture_output=True, text=True, errors="surrogateescape", timeout=timeout
    )
    if done.returncode != 0:
        raise Refused(f"kubectl {' '.join(arguments[:4])}: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Namespace:
    name: str

    def kubectl(self, *arguments: str, stdin: str = "", timeout: float = 120) -> str:
        return kubectl(f"--namespace={self.name}", *arguments, stdin=stdin, timeout=timeout)

    def apply(self, *bodies: Json) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(bodies)}
        self.kubectl("apply", "--filename=-", stdin=json.dumps(listed))

    def get(self, kind: str, name: str) -> Json | None:
        """None when it is not there."""
        said = self.kubectl("get", kind, name, "--ignore-not-found", "--output=json")
        return json.loads(said) if said else None

    def items(self, kind: str, selector: str = "", fields: str = "") -> list[Json]:
        chosen = [f"--selector={selector}"] if selector else []
        chosen += [f"--field-selector={fields}"] if fields else []
        found: list[Json] = json.loads(self.kubectl("get", kind, *chosen, "--output=json"))["items"]
        return found

    def delete(self, kind: str, *names: str, options: Sequence[str] = ()) -> None:
        self.kubectl("delete", kind, *names, "--ignore-not-found", *options)
