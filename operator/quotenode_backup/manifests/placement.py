"""Where a pod must run, and as whom."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Placement:
    """What it takes for the pod to have its claims and read the files."""

    user: int
    node: str | None
    """None: any."""
    tolerations: tuple[dict[str, Any], ...] = ()
    leaves_modes: bool = False
    """Whether somebody else's pod has the bundles' claim mounted, and may have files of its own there."""
