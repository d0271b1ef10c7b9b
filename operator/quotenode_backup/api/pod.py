"""What a user may choose about the runner's pod: an allow-list, and never an image, a command, a volume or a ServiceAccount."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from quotenode_backup.api.fields import LabelKey, LabelValue, ObjectName, Quantity, SpecModel, rule, rules


class Resources(SpecModel):
    """Requests and limits of the runner's container."""

    requests: Annotated[dict[Literal["cpu", "memory", "ephemeral-storage"], Quantity], Field(max_length=3)] | None = (
        None
    )
    """What is set aside for it."""
    limits: Annotated[dict[Literal["cpu", "memory", "ephemeral-storage"], Quantity], Field(max_length=3)] | None = None
    """What it may use at most. The runner itself needs less than 200Mi, whatever the size of the data."""


class Toleration(SpecModel):
    """A taint of a node that the pod tolerates."""

    key: Annotated[str, StringConstraints(max_length=317)] | None = None
    """Key of the taint; absent with operator Exists for every taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """How the value is compared."""
    value: Annotated[str, StringConstraints(max_length=63)] | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; absent for all."""
    toleration_seconds: Annotated[int, Field(ge=0, le=86400)] | None = None
    """How long a NoExecute taint is tolerated."""


class Pod(SpecModel):
    """The few things about the runner's pod that can be chosen."""

    resources: Resources | None = None
    """Requests and limits."""
    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] | None = None
    """Labels that the node must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] | None = None
    """Taints that it tolerates, besides those of the pod that has the claims mounted."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of the pod."""
    run_as_user: Annotated[int, Field(ge=1, le=2147483647)] | None = None
    """User id that can read the files. Absent: that of the pod that has the claims mounted."""
    fs_group: Annotated[int, Field(ge=1, le=2147483647)] | None = None
    """Group that may write to the volume of the bundles, for storage that starts out as root's. The kubelet gives that volume to it, on mismatch only, and not while other pods have it mounted; volumes that are only read keep their groups and modes."""
    labels: (
        Annotated[
            dict[LabelKey, LabelValue],
            Field(
                max_length=16,
                json_schema_extra=rules(
                    rule(
                        "self.all(k, !k.startsWith('backup.quotenode.io/') && !k.startsWith('app.kubernetes.io/')"
                        " && !k.startsWith('batch.kubernetes.io/'))",
                        "labels that start with backup.quotenode.io/, app.kubernetes.io/ or batch.kubernetes.io/ are taken",
                    )
                ),
            ),
        ]
        | None
    ) = None
    """Further labels of the pod, such as those that a NetworkPolicy selects."""
