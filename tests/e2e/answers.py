"""What a shell script prints in a pod, whole.

`kubectl exec` loses its connection now and then, and with it what was said, and calls that a success (kubernetes#137404). So the pod keeps
the answer, and it is fetched again until it is there to its end.
"""

import uuid
from collections.abc import Callable

from tests.e2e.waiting import eventually

_END = "end-of-answer\n"
_TIDY = "find /tmp -maxdepth 1 -name 'answer-*' -mmin +5 -delete"

Execute = Callable[..., str]
"""Runs a command in a pod and returns what it printed."""


def answer(execute: Execute, script: str) -> str:
    """In `sh -eu`; the pod must have a /tmp. Raises what `execute` raises when the script fails."""
    kept = f"/tmp/answer-{uuid.uuid4().hex}"
    said = execute("sh", "-euc", f"{_TIDY}; ({script}\n) > {kept}; echo {_END.strip()} >> {kept}; cat {kept}")

    def fetched() -> str:
        again = execute("cat", kept)
        return again if again.endswith(_END) else ""

    whole = said if said.endswith(_END) else eventually(fetched, "the answer of a script has come whole", 60)
    return whole.removesuffix(_END)
