"""The application whose data is backed up or restored: its workloads, which are stopped and started again."""

from typing import Any, Literal

from quotenode_backup.api.fields import ObjectName, SpecModel, keyed_by

MOST_WORKLOADS = 8
BY_KIND_AND_NAME: dict[str, Any] = keyed_by("kind", "name")


class Workload(SpecModel):
    """A workload of the application, in the same namespace."""

    kind: Literal["Deployment", "StatefulSet"] = "Deployment"
    """Kind of the workload: Deployment or StatefulSet."""
    name: ObjectName
    """Name of the workload."""
