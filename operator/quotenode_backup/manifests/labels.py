"""Labels and annotations that tie what the operator makes to the resource that it is for."""

from quotenode_backup.api import GROUP

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "quotenode-backup-operator"
KIND = f"{GROUP}/kind"
"""On a Job and its pod: the kind of the resource that it is for."""
RUN_NAME = f"{GROUP}/run"
RUN_UID = f"{GROUP}/run-uid"
STEP = f"{GROUP}/step"
"""On a Job and its pod: what of that resource it does, such as `backup`."""
ATTEMPT = f"{GROUP}/attempt"
PLAN = f"{GROUP}/plan"
HOLDER = f"{GROUP}/holder"
HOLDER_KIND = f"{GROUP}/holder-kind"
"""On a Lease: the name of the resource that has the lock, and its kind."""
TARGET = f"{GROUP}/target"
SCHEDULE = f"{GROUP}/schedule"
SCHEDULE_UID = f"{GROUP}/schedule-uid"
INITIATED_BY = f"{GROUP}/initiated-by"
SLOT = f"{GROUP}/slot"
BREAK_LOCK = f"{GROUP}/break-lock"
STOPPED = f"{GROUP}/stopped"
"""On a Lease: what the holder stopped, and how many replicas it had."""
APPROVED = f"{GROUP}/approved"
"""On a schedule, or a run that came back: UID of the policy, as the message of OlderThanPolicy has it. Who writes it is asked as if the spec were his."""
FINISHED = f"{GROUP}/finished"
"""On a run that has ended: how (`api.finished_mark`). It outlives the loss of the status, so that the run is not made again."""
LAST_TRIGGER = f"{GROUP}/last-trigger"
"""On a schedule: the same as its `status.lastTrigger`, for the same purpose."""
FINALIZER = f"{GROUP}/local-bundle"
"""On a run whose deletion takes its local bundle along."""

RUNNER = "runner"
"""The container that is ours, whatever else is put into a pod."""

OURS = f"{MANAGED_BY}={MANAGER}"
"""Selects every object that the operator made."""


def of_schedule(name: str) -> str:
    """Selects the runs of every schedule that ever had this name."""
    return f"{SCHEDULE}={name}"


def of_step(step: str) -> str:
    """Selects the Jobs and pods of one step, whichever resource each is for."""
    return f"{OURS},{STEP}={step}"


def of_owner(uid: str, step: str = "") -> str:
    """Selects the Jobs and pods of one resource: of one step, or of all."""
    return f"{of_step(step) if step else OURS},{RUN_UID}={uid}"
