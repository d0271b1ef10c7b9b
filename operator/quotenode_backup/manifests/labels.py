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
SCHEDULE = f"{GROUP}/schedule"
SCHEDULE_UID = f"{GROUP}/schedule-uid"
INITIATED_BY = f"{GROUP}/initiated-by"
SLOT = f"{GROUP}/slot"
BREAK_LOCK = f"{GROUP}/break-lock"
STOPPED = f"{GROUP}/stopped"
"""On a Lease: what the holder stopped, and how many replicas it had."""
APPROVED = f"{GROUP}/approved"
"""On a schedule, or a run that came back: UID of the policy, as the message of OlderThanPolicy has it. Who writes it is asked as if the spec were his."""
TASK = f"{GROUP}/task"
TASK_FOR = f"{GROUP}/task-for"
FINISHED = f"{GROUP}/finished"
"""On a run that has ended: how (`api.mark.FinishedMark`). It outlives the loss of the status, so that the run is not made again."""
LAST_TRIGGER = f"{GROUP}/last-trigger"
"""On a schedule: the same as its `status.lastTrigger`, for the same purpose."""
FINALIZER = f"{GROUP}/local-bundle"
"""On a run whose deletion takes its local bundle along."""

RUNNER = "runner"
"""The container that is ours, whatever else is put into a pod."""

OURS = f"{MANAGED_BY}={MANAGER}"
"""Selects every child of the operator."""


def of_schedule(name: str) -> str:
    """Selects the runs of every schedule that ever had this name."""
    return f"{SCHEDULE}={name}"


def of_task(task: str, uid: str) -> str:
    """Selects the Jobs and pods of what is done after a run."""
    return f"{OURS},{TASK}={task},{TASK_FOR}={uid}"


def of_kind(task: str) -> str:
    """Selects the Jobs of what is done after runs, for all runs."""
    return f"{OURS},{TASK}={task}"


def of_run(uid: str) -> str:
    """Selects the children of one run."""
    return f"{OURS},{RUN_UID}={uid}"
