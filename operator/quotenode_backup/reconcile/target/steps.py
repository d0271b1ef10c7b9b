"""What is next until the application is down, and up again, as values: `stopping` chooses them, `scale_down` does them."""

from dataclasses import dataclass

from quotenode_backup.cluster.objects import Scale
from quotenode_backup.reconcile.target.workloads import Application


@dataclass(frozen=True, slots=True)
class BeginStop:
    """Say that the application is being stopped; the deadline counts from here."""

    message: str
    application: Application


@dataclass(frozen=True, slots=True)
class RememberStopped:
    """Write down what runs, before any of it is stopped."""

    application: Application


@dataclass(frozen=True, slots=True)
class ScaleDown:
    scale: Scale


@dataclass(frozen=True, slots=True)
class StartApplication:
    """Start again what was stopped: the run has to wait."""


Stopping = BeginStop | RememberStopped | ScaleDown | StartApplication
