"""On which node and as which user a pod must run."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Placement:
    """What the pod needs in order to mount its claims and read the files."""

    user: int
    node: str | None
    """None: any node."""
    tolerations: tuple[dict[str, Any], ...] = ()
    leaves_modes: bool = False
    """Whether a pod that is not ours mounts the claim of the bundles too, and may have files of its own there."""
