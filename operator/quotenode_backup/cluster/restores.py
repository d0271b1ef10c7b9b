"""Requests about QuoteNodeRestores."""

from quotenode_backup.api.restore import KIND, PLURAL
from quotenode_backup.api.restore_status import RestoreStatus
from quotenode_backup.cluster import restore_parsing
from quotenode_backup.cluster.connection import Json
from quotenode_backup.cluster.custom_resources import CustomResources
from quotenode_backup.cluster.restore_objects import AnyRestore
from quotenode_backup.domain.target import Target
from quotenode_backup.manifests import labels


class Restores(CustomResources[AnyRestore, RestoreStatus]):
    kind = KIND
    plural = PLURAL
    finalizer = labels.RESTORE_FINALIZER

    def parse(self, item: Json) -> AnyRestore:
        return restore_parsing.restore_of(item)

    def is_settled(self, item: Json) -> bool:
        return restore_parsing.is_settled(item)

    def target_of(self, item: Json) -> Target | None:
        return restore_parsing.target_of(item)
