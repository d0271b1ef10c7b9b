"""The permissions that the gateway needs. Tests compare the chart's rules with them."""

from quotenode_backup.api import GROUP
from quotenode_backup.api.backup import PLURAL
from quotenode_backup.api.restore import PLURAL as RESTORES

NEEDED: dict[tuple[str, str], frozenset[str]] = {
    (GROUP, PLURAL): frozenset({"get", "list", "watch", "create", "patch", "delete"}),
    (GROUP, f"{PLURAL}/status"): frozenset({"patch"}),
    (GROUP, RESTORES): frozenset({"get", "list", "watch", "patch"}),
    (GROUP, f"{RESTORES}/status"): frozenset({"patch"}),
    ("batch", "jobs"): frozenset({"get", "list", "watch", "create", "patch", "delete"}),
    ("", "pods"): frozenset({"list", "watch"}),
    ("", "persistentvolumeclaims"): frozenset({"get"}),
    ("", "events"): frozenset({"list"}),
    ("events.k8s.io", "events"): frozenset({"create"}),
    ("coordination.k8s.io", "leases"): frozenset({"get", "list", "create", "update"}),
    ("apps", "deployments/scale"): frozenset({"get", "patch"}),
    ("apps", "statefulsets/scale"): frozenset({"get", "patch"}),
    ("apps", "statefulsets"): frozenset({"get"}),
    ("autoscaling", "horizontalpodautoscalers"): frozenset({"list"}),
    # No such resource exists. The permission exempts the operator from the admission policy, since it copies only specs
    # whose authors were checked. The group is its own, so that no rule with a wildcard for our resources grants it too.
    (f"admission.{GROUP}", "exemptions"): frozenset({"use"}),
}
"""(API group, resource) -> verbs. At startup an access review checks each of them."""

NEEDED_TO_LET_GO: dict[tuple[str, str], frozenset[str]] = {
    ("", "namespaces"): frozenset({"get"}),
    (GROUP, PLURAL): frozenset({"get", "list", "patch"}),
    (GROUP, RESTORES): frozenset({"get", "list", "patch"}),
}
"""What it takes to let a namespace be deleted, whose Roles may be deleted before our resources. Without these
permissions the deletion may hang until somebody removes the finalizers.
"""

NEEDED_TO_JUDGE: dict[tuple[str, str], frozenset[str]] = {
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"): frozenset({"get"}),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"): frozenset({"get"}),
}
"""For the release's own policy and binding alone, to see whether they are in force, and since when."""
