"""Labels and annotations that tie children to their run."""

from quotenode_backup.api import GROUP

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "quotenode-backup-operator"
RUN_NAME = f"{GROUP}/run"
RUN_UID = f"{GROUP}/run-uid"
ATTEMPT = f"{GROUP}/attempt"
PLAN = f"{GROUP}/plan"
HOLDER = f"{GROUP}/holder"
TARGET = f"{GROUP}/target"
BREAK_LOCK = f"{GROUP}/break-lock"

OURS = f"{MANAGED_BY}={MANAGER}"
"""Selects every child of the operator."""


def of_run(uid: str) -> str:
    """Selects the children of one run."""
    return f"{OURS},{RUN_UID}={uid}"
