"""Events about a run. Warnings are logged too: the cluster keeps Events for an hour."""

import logging
from datetime import datetime

from quotenode_backup.cluster.errors import ApiError
from quotenode_backup.cluster.gateway import Cluster
from quotenode_backup.cluster.objects import Run
from quotenode_backup.domain.reasons import Reason
from quotenode_backup.manifests.event import event

logger = logging.getLogger(__name__)


class Teller:
    def __init__(self, cluster: Cluster, reporter: str) -> None:
        self._cluster = cluster
        self._reporter = reporter

    async def __call__(
        self,
        run: Run,
        reason: Reason,
        message: str,
        now: datetime,
        *,
        warning: bool,
        about: str = "",
        occurrence: int | None = None,
    ) -> None:
        """Once for each occurrence, by default each attempt: an Event that was posted before is not posted again.

        One that can't be posted is only logged: nothing waits for it, least of all an application that is to be started again.
        """
        if warning:
            where = {"namespace": run.namespace, "backup": run.name}
            logger.warning("%s/%s: %s: %s", run.namespace, run.name, reason, message, extra=where)
        attempt = run.status.attempts[-1].number if run.status.attempts else 0
        try:
            await self._cluster.tell(
                event(
                    namespace=run.namespace,
                    run_name=run.name,
                    run_uid=run.uid,
                    reason=reason,
                    message=message,
                    occurrence=attempt if occurrence is None else occurrence,
                    about=about,
                    warning=warning,
                    reporter=self._reporter,
                    now=now,
                )
            )
        except ApiError as exc:
            logger.warning("%s/%s: Event %s could not be posted: %s", run.namespace, run.name, reason, exc)
