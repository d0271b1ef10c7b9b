"""`python -m quotenode_backup run`: plan in, result and exit code out, whatever happens in between."""

import logging
import traceback
from collections.abc import Sequence

from quotenode_backup.contract import Outcome, Plan, Result
from quotenode_backup.domain.errors import VERDICTS, Exit, Reason, RunFailed
from quotenode_backup.runner import interruption, logs, plans
from quotenode_backup.runner.backup import back_up
from quotenode_backup.runner.environment import forbid_core_dumps
from quotenode_backup.runner.places import Places
from quotenode_backup.runner.wording import Redactor, sentence

log = logging.getLogger(__name__)


def main(_arguments: Sequence[str] = (), places: Places | None = None) -> int:
    logs.set_up()
    forbid_core_dumps()
    run = Run(places or Places())
    result = run.ended()
    plans.write_result(run.places.result, result)
    return Exit.OK if result.outcome == Outcome.SUCCEEDED else VERDICTS[result.reason].exit_code


class Run:
    def __init__(self, places: Places) -> None:
        self.places = places
        self._plan: Plan | None = None
        self._redact = Redactor()

    def ended(self) -> Result:
        """When it returns, nothing interrupts any more: what is left is to say how it ended."""
        try:
            return self._succeeded_or_not()
        except interruption.Interrupted as end:
            return self._failed(end.failure)

    def _succeeded_or_not(self) -> Result:
        try:
            result = self._attempt()
        except RunFailed as failure:
            return self._failed(failure)
        interruption.shield()
        log.info("%s", result.message)
        return result

    def _failed(self, failure: RunFailed) -> Result:
        interruption.shield()
        log.error("%s: %s", failure.reason, failure.message)
        return plans.failed(self._plan, failure)

    def _attempt(self) -> Result:
        interruption.listen()
        self._plan = plan = plans.read_plan(self.places.plan)
        interruption.stop_at(plan.deadline)
        log.info("Attempt %d at %s/%s", plan.attempt, plan.namespace, plan.name)
        try:
            return back_up(plan, self.places, self._redact)
        except RunFailed:
            raise
        except Exception as error:
            log.error("%s", self._redact(traceback.format_exc()))
            raise self._unexpected(error) from error

    def _unexpected(self, error: Exception) -> RunFailed:
        words = sentence(self._redact(f"{type(error).__name__}: {error}"), 300)
        return RunFailed(
            Reason.INTERNAL_ERROR, f"The runner met something it was not made for ({words}): please report it."
        )
