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
    """Its phase when it was last looked at."""


class ScheduleStatus(StatusModel):
    last_schedule_time: datetime | None = None
    """The last slot that a run was made for."""
    next_schedule_time: datetime | None = None
    """The next slot."""
    last_successful_time: datetime | None = None
    """When a run last completed."""
    last_failed_time: datetime | None = None
    """When a run last failed."""
    last_size_bytes: int | None = None
    """Size in bytes of the last successful run's bundle."""
    last_duration_seconds: int | None = None
    """How long the last successful run took."""
    last_run: LastRun | None = None
    """The newest run."""
    last_trigger: Annotated[str, StringConstraints(max_length=63)] | None = None
    """The last value of spec.trigger that was acted on."""
    missed_slots: int | None = None
    """How many slots passed while the operator was away. Of one downtime 1000 are counted at most."""
    skipped_slots: int | None = None
    """How many slots got no run because the one before was still running, or the new one was refused (Events RunRefused and NameCollision)."""
    slots_from: datetime | None = None
    """Slots after this moment are still to be acted on."""
    observed_schedule: Annotated[str, StringConstraints(max_length=165)] | None = None
    """The schedule and time zone in force, or Suspended. Slots count from the moment it changed."""
