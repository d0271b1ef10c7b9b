"""Parses a QuoteNodeRestore from the API server's JSON into a value of `restore_objects`."""

from typing import Any

from quotenode_backup.api.conditions import ConditionType
from quotenode_backup.api.restore import KIND, RestoreSpec
from quotenode_backup.api.restore_status import RestoreStatus
from quotenode_backup.cluster.finished_marks import holding, mark_of
from quotenode_backup.cluster.resource_parsing import common, is_at_rest, spec_of, target_in
from quotenode_backup.cluster.restore_objects import AnyRestore, RestoreRun, UnreadableRestore
from quotenode_backup.domain.target import Target
from quotenode_backup.manifests import labels

Json = dict[str, Any]


def restore_of(body: Json) -> AnyRestore:
    """Raises Unreadable when the status does not fit our types."""
    spec = spec_of(body, RestoreSpec)
    fields = common(body, KIND, RestoreStatus, labels.RESTORE_FINALIZER) | {"mark": mark_of(body)}
    return UnreadableRestore(**fields, fault=spec) if isinstance(spec, str) else RestoreRun(**fields, spec=spec)


def is_settled(item: Json) -> bool:
    """Whether a pass over the restore would have nothing to do. Replaced data that is kept must be removed some day."""
    has_finalizer = labels.RESTORE_FINALIZER in item["metadata"].get("finalizers", ())
    return is_at_rest(item) and not has_finalizer and ConditionType.REPLACED_DATA_KEPT not in holding(item)


def target_of(item: Json) -> Target | None:
    """The database that the spec names, or the one that was found out for a restore that inherits it.

    None: neither, or a dry run, which locks nothing and so holds up nobody.
    """
    spec, status = item.get("spec", {}), item.get("status") or {}
    if spec.get("dryRun"):
        return None
    return target_in(item["metadata"]["namespace"], spec.get("database") or status.get("target") or {})
