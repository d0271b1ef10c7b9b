"""What a user may choose about the runner's pod: an allow-list, and never an image, a command, a volume or a ServiceAccount."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from quotenode_backup.api.fields import LabelKey, LabelValue, ObjectName, Quantity, SpecModel, rule, rules


class Resources(SpecModel):
    """Resource requests and limits of the runner's container."""

    requests: Annotated[dict[Literal["cpu", "memory", "ephemeral-storage"], Quantity], Field(max_length=3)] | None = (
        None
    )
    """Resources that are reserved for the container."""
    limits: Annotated[dict[Literal["cpu", "memory", "ephemeral-storage"], Quantity], Field(max_length=3)] | None = None
    """Resources that the container may use at most. The runner needs less than 200Mi of memory, whatever the size of the data."""


class Toleration(SpecModel):
    """A node taint that the pod tolerates."""

    key: Annotated[str, StringConstraints(max_length=317)] | None = None
    """Key of the taint. Without a key, operator Exists tolerates every taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """How the taint's value is compared: Equal tolerates `value` alone, Exists tolerates every value."""
    value: Annotated[str, StringConstraints(max_length=63)] | None = None
    """Value of the taint, for operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. If absent, every effect is tolerated."""
    toleration_seconds: Annotated[int, Field(ge=0, le=86400)] | None = None
    """How many seconds a NoExecute taint is tolerated."""


class Pod(SpecModel):
    """The few settings of the runner pod that can be chosen."""

    resources: Resources | None = None
    """Resource requests and limits of the runner's container."""
    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] | None = None
    """Labels that a node must have for the pod to run there."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] | None = None
    """Node taints that the pod tolerates, in addition to those that the pod with the claims mounted tolerates."""
    priority_class_name: ObjectName | None = None
    """Name of the PriorityClass of the pod."""
    run_as_user: Annotated[int, Field(ge=1, le=2147483647)] | None = None
    """User ID that can read the files. Defaults to the user ID of the pod that has the claims mounted."""
    fs_group: Annotated[int, Field(ge=1, le=2147483647)] | None = None
    """Group ID that may write to the volume of the bundles, for storage that initially belongs to root. The kubelet gives that volume to this group if its root belongs to another one and no other pod has it mounted; volumes that are only read keep their groups and modes."""
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
    """Additional labels of the pod, such as those that a NetworkPolicy selects."""
