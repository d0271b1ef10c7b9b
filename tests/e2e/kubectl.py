"""kubectl, as a person has it. What is done and looked at all the time goes through `api`."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from tests.e2e import api
from tests.e2e.api import Json, Refused

__all__ = ["LABEL", "Json", "Namespace", "Refused", "kubectl"]

LABEL = "quotenode.io/end-to-end"
"""On all that outlives a story: the run of the tests that made it. The next run removes it."""


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

    @property
    def run_id(self) -> str:
        """The run of the tests that made it: the last part of its name."""
        return self.name.rpartition("-")[2]

    def kubectl(self, *arguments: str, stdin: str = "", timeout: float = 120) -> str:
        return kubectl(f"--namespace={self.name}", *arguments, stdin=stdin, timeout=timeout)

    def apply(self, *bodies: Json) -> None:
        for body in bodies:
            api.apply(self.name, body)

    def get(self, kind: str, name: str) -> Json | None:
        """None when it is not there."""
        return api.get(self.name, kind, name)

    def items(self, kind: str, selector: str = "", fields: str = "") -> list[Json]:
        return api.items(self.name, kind, selector, fields)

    def delete(self, kind: str, *names: str, options: Sequence[str] = ()) -> None:
        self.kubectl("delete", kind, *names, "--ignore-not-found", *options)
