"""What the commands of the runner share: they read a plan, and end with a result and an exit code whatever happens in between."""

import logging
import os
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

from quotenode_backup import logs
from quotenode_backup.contract.results import Outcome
from quotenode_backup.domain.reasons import VERDICTS, Exit, Reason, RunFailed
from quotenode_backup.runner.process import plan_io
from quotenode_backup.runner.process.display import Redactor, sentence
from quotenode_backup.runner.process.environment import forbid_core_dumps
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.process.plan_io import AnyPlan, AnyResult
from quotenode_backup.runner.process.signals import Interrupted, Signals, Unfinished

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Context:
    """What exists once in each process, and is handed down to those who need it."""

    mounts: Mounts
    signals: Signals
    redact: Redactor


def _unchanged(_plan: AnyPlan, _context: Context, result: AnyResult) -> AnyResult:
    return result


@dataclass(frozen=True, slots=True)
class Command(Generic[AnyPlan, AnyResult]):
    plan: type[AnyPlan]
    result: type[AnyResult]
    work: Callable[[AnyPlan, Context], AnyResult]
    unfinished: Unfinished
    after_failure: Callable[[AnyPlan, Context, AnyResult], AnyResult] = _unchanged
    """May change the result of a run that failed. Nothing interrupts it."""


def run(command: Command[AnyPlan, AnyResult], arguments: Sequence[str], mounts: Mounts | None = None) -> int:
    """The exit code. `arguments`: the checksum of the plan."""
    logs.configure(os.environ.get("QN_LOG_FORMAT") or "text", os.environ.get("QN_LOG_LEVEL") or "INFO")
    forbid_core_dumps()
    program = Program(command, "".join(arguments), mounts or Mounts())
    result = program.result()
    plan_io.write_result(program.context.mounts.result, result)
    return Exit.OK if result.outcome == Outcome.SUCCEEDED else VERDICTS[result.reason].exit_code


class Program(Generic[AnyPlan, AnyResult]):
    def __init__(self, command: Command[AnyPlan, AnyResult], digest: str, mounts: Mounts) -> None:
        self.context = Context(mounts, Signals(command.unfinished), Redactor())
        self._digest = digest
        self._command: Command[AnyPlan, AnyResult] = command
        self._plan: AnyPlan | None = None

    def result(self) -> AnyResult:
        """Once this has returned, nothing interrupts the process any more."""
        try:
            return self._success_or_failure()
        except Interrupted as end:
            return self._failed(end.failure)

    def _success_or_failure(self) -> AnyResult:
        try:
            result = self._attempt()
        except RunFailed as failure:
            return self._failed(failure)
        self.context.signals.block()
        log.info("%s", result.message)
        return result

    def _failed(self, failure: RunFailed) -> AnyResult:
        self.context.signals.block()
        log.error("%s: %s", failure.reason, failure.message)
        result = plan_io.failed(self._plan, failure, self._command.result)
        return result if self._plan is None else self._after_failure(self._plan, result)

    def _after_failure(self, plan: AnyPlan, result: AnyResult) -> AnyResult:
        """Whatever goes wrong here, the failure of the run itself must be reported."""
        try:
            return self._command.after_failure(plan, self.context, result)
        except Exception:  # noqa: BLE001 - the operator would get no result at all
            self._log_traceback()
            return result

    def _attempt(self) -> AnyResult:
        context = self.context
        context.signals.listen()
        self._plan = plan = plan_io.read_plan(context.mounts.plan, self._command.plan, self._digest)
        context.signals.stop_at(plan.deadline)
        log.info("Attempt %d at %s/%s", plan.attempt, plan.namespace, plan.name)
        try:
            return self._command.work(plan, context)
        except RunFailed:
            raise
        except Exception as error:
            self._log_traceback()
            raise self._unexpected(error) from error

    def _log_traceback(self) -> None:
        log.error("%s", self.context.redact(traceback.format_exc()))

    def _unexpected(self, error: Exception) -> RunFailed:
        message = sentence(self.context.redact(f"{type(error).__name__}: {error}"), 300)
        return RunFailed(Reason.INTERNAL_ERROR, f"The runner met an unexpected error ({message}): please report it.")
