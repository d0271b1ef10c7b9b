"""Plan in, result and exit code out, whatever happens in between: what the commands of the runner share."""

import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

from quotenode_backup.contract.results import Outcome
from quotenode_backup.domain.reasons import VERDICTS, Exit, Reason, RunFailed
from quotenode_backup.runner.process import logs, plan_io, signals
from quotenode_backup.runner.process.display import Redactor, sentence
from quotenode_backup.runner.process.environment import forbid_core_dumps
from quotenode_backup.runner.process.mounts import Places
from quotenode_backup.runner.process.plan_io import AnyPlan, AnyResult
from quotenode_backup.runner.process.signals import Unfinished

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Command(Generic[AnyPlan, AnyResult]):
    plan: type[AnyPlan]
    result: type[AnyResult]
    work: Callable[[AnyPlan, Places, Redactor], AnyResult]
    unfinished: Unfinished
    after_failure: Callable[[AnyPlan, Places, Redactor, AnyResult], AnyResult] = (
        lambda _plan, _places, _redact, result: result
    )
    """Has the last word. Nothing interrupts it."""


def run(command: Command[AnyPlan, AnyResult], arguments: Sequence[str], places: Places | None = None) -> int:
    """`arguments`: the plan's checksum."""
    logs.set_up()
    forbid_core_dumps()
    program = Program(command, "".join(arguments), places or Places())
    result = program.ended()
    plan_io.write_result(program.places.result, result)
    return Exit.OK if result.outcome == Outcome.SUCCEEDED else VERDICTS[result.reason].exit_code


class Program(Generic[AnyPlan, AnyResult]):
    def __init__(self, command: Command[AnyPlan, AnyResult], digest: str, places: Places) -> None:
        self.places = places
        self._digest = digest
        self._command: Command[AnyPlan, AnyResult] = command
        self._plan: AnyPlan | None = None
        self._redact = Redactor()

    def ended(self) -> AnyResult:
        """When it returns, nothing interrupts any more: what is left is to say how it ended."""
        try:
            return self._succeeded_or_not()
        except signals.Interrupted as end:
            return self._failed(end.failure)

    def _succeeded_or_not(self) -> AnyResult:
        try:
            result = self._attempt()
        except RunFailed as failure:
            return self._failed(failure)
        signals.shield()
        log.info("%s", result.message)
        return result

    def _failed(self, failure: RunFailed) -> AnyResult:
        signals.shield()
        log.error("%s: %s", failure.reason, failure.message)
        result = plan_io.failed(self._plan, failure, self._command.result)
        if self._plan is None:
            return result
        return self._command.after_failure(self._plan, self.places, self._redact, result)

    def _attempt(self) -> AnyResult:
        signals.listen(self._command.unfinished)
        self._plan = plan = plan_io.read_plan(self.places.plan, self._command.plan, self._digest)
        signals.stop_at(plan.deadline, self._command.unfinished)
        log.info("Attempt %d at %s/%s", plan.attempt, plan.namespace, plan.name)
        try:
            return self._command.work(plan, self.places, self._redact)
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
