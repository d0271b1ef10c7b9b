"""What the status of a schedule has: its slots, and what is remembered of its runs."""

from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints

from quotenode_backup.api.conditions import Phase
from quotenode_backup.api.fields import StatusModel


class LastRun(StatusModel):
    """The newest run of a schedule."""

    name: Annotated[str, StringConstraints(max_length=253)]
    """Name of the QuoteNodeBackup."""
    phase: Phase | None = None
    """Phase of the run when the schedule was last reconciled."""


class ScheduleStatus(StatusModel):
    last_schedule_time: datetime | None = None
    """The last slot that a run was created for."""
    next_schedule_time: datetime | None = None
    """The next slot."""
    last_successful_time: datetime | None = None
    """When a run last completed."""
    last_failed_time: datetime | None = None
    """When a run last failed."""
    last_size_bytes: int | None = None
    """Size in bytes of the bundle of the last successful run."""
    last_duration_seconds: int | None = None
    """How many seconds the last successful run took."""
    last_run: LastRun | None = None
    """The newest run of the schedule."""
    last_trigger: Annotated[str, StringConstraints(max_length=63)] | None = None
    """The last value of spec.trigger that was acted on."""
    missed_slots: int | None = None
    """How many slots passed while the operator was not running. At most 1000 slots of one downtime are counted."""
    skipped_slots: int | None = None
    """How many slots got no run because the previous run had not ended, or because the new run could not be created (Events RunRefused and NameCollision)."""
    slots_from: datetime | None = None
    """Slots after this time have yet to be acted on."""
    observed_schedule: Annotated[str, StringConstraints(max_length=165)] | None = None
    """The schedule and time zone in force, or Suspended or Invalid. Slots count from the time that this changed."""
