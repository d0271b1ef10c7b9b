"""The steps that stop an application and start it again, as values. `stopping` chooses, `scale_down` carries out."""

from dataclasses import dataclass

from quotenode_backup.cluster.workloads import Scale
from quotenode_backup.reconcile.target.workloads import Application


@dataclass(frozen=True, slots=True)
class Purpose:
    """What an application is stopped for, in the words of the kind of run that has it stopped."""

    work: str
    """Such as `offline backup`."""
    alternative: str
    """What to do if the application can't be stopped, such as `use mode Online`."""


@dataclass(frozen=True, slots=True)
class BeginStop:
    """Write into the status that the application is being stopped. The deadline counts from here."""

    message: str
    application: Application


@dataclass(frozen=True, slots=True)
class RememberStopped:
    """Record the replica counts before anything is stopped."""

    application: Application


@dataclass(frozen=True, slots=True)
class ScaleDown:
    scale: Scale


@dataclass(frozen=True, slots=True)
class StartApplication:
    """Start again what was stopped, since the run has to wait."""


Stopping = BeginStop | RememberStopped | ScaleDown | StartApplication
