"""The labels and annotations that tie the operator's objects to the resources that they are for."""

from quotenode_backup.api import GROUP

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "quotenode-backup-operator"
KIND = f"{GROUP}/kind"
"""On a Job and its pod: the kind of the resource that the Job is for."""
RUN_NAME = f"{GROUP}/run"
RUN_UID = f"{GROUP}/run-uid"
STEP = f"{GROUP}/step"
"""On a Job and its pod: what the Job does for the resource, such as `backup`."""
ATTEMPT = f"{GROUP}/attempt"
PLAN = f"{GROUP}/plan"
HOLDER = f"{GROUP}/holder"
HOLDER_KIND = f"{GROUP}/holder-kind"
"""On a Lease: name and kind of the resource that has the lock."""
TARGET = f"{GROUP}/target"
SCHEDULE = f"{GROUP}/schedule"
SCHEDULE_UID = f"{GROUP}/schedule-uid"
INITIATED_BY = f"{GROUP}/initiated-by"
SLOT = f"{GROUP}/slot"
BREAK_LOCK = f"{GROUP}/break-lock"
STOPPED = f"{GROUP}/stopped"
"""On a Lease: which workloads the holder stopped, and how many replicas each had."""
APPROVED = f"{GROUP}/approved"
"""On a schedule or a recreated run: the UID from the message of reason OlderThanPolicy. The policy checks whoever writes
it as it would check the author of the spec.
"""
FINISHED = f"{GROUP}/finished"
"""On a finished run: how it ended (`api.finished_mark`), so that it does not run again if its status is lost."""
LAST_TRIGGER = f"{GROUP}/last-trigger"
"""On a schedule: its `status.lastTrigger`, in case the status is lost."""
FINALIZER = f"{GROUP}/local-bundle"
"""On a backup whose deletion removes its local bundle too."""
RESTORE_FINALIZER = f"{GROUP}/restore"
"""On a restore that has stopped the application, or that keeps replaced data."""

RUNNER = "runner"
"""Name of our container. Others, such as a service mesh, may add containers to the pod."""

OURS = f"{MANAGED_BY}={MANAGER}"
"""Selects every object that the operator created."""


def of_schedule(name: str) -> str:
    """Selects the runs of every schedule that ever had this name."""
    return f"{SCHEDULE}={name}"


def of_step(step: str) -> str:
    """Selects the Jobs and pods of one step, of all resources."""
    return f"{OURS},{STEP}={step}"


def of_owner(uid: str, step: str) -> str:
    """Selects the Jobs and pods of one step of one resource."""
    return f"{of_step(step)},{RUN_UID}={uid}"
