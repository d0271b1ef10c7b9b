"""The verbs that the gateway uses. The chart's rules are tested against them."""

from quotenode_backup.api import GROUP
from quotenode_backup.api.backup import PLURAL

NEEDED: dict[tuple[str, str], frozenset[str]] = {
    (GROUP, PLURAL): frozenset({"get", "list", "watch", "create", "patch", "delete"}),
    (GROUP, f"{PLURAL}/status"): frozenset({"patch"}),
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
    # No such resource exists: the right to it exempts from the admission policy, since the operator copies only specs whose authors were asked.
    # A group of its own, so that no rule with a wildcard for our resources grants it by accident.
    (f"admission.{GROUP}", "exemptions"): frozenset({"use"}),
}
"""(API group, resource) -> verbs. At start-up the API server is asked for each."""

NEEDED_TO_LET_GO: dict[tuple[str, str], frozenset[str]] = {
    ("", "namespaces"): frozenset({"get"}),
    (GROUP, PLURAL): frozenset({"get", "list", "patch"}),
}
"""What a namespace that is going away takes: its Roles may go before our resources. Without these it may have to wait for somebody."""

NEEDED_TO_JUDGE: dict[tuple[str, str], frozenset[str]] = {
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"): frozenset({"get"}),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"): frozenset({"get"}),
}
"""Of the release's own policy alone: whether it is in force, and since when."""
