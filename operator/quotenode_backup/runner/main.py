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
    places = places or Places()
    logs.set_up()
    forbid_core_dumps()
    interruption.listen()
    result = _attempt(places)
    interruption.shield()
    plans.write_result(places.result, result)
    return Exit.OK if result.outcome == Outcome.SUCCEEDED else VERDICTS[result.reason].exit_code


def _attempt(places: Places) -> Result:
    plan: Plan | None = None
    redact = Redactor()
    try:
        plan = plans.read_plan(places.plan)
        interruption.stop_at(plan.deadline)
        log.info("Attempt %d at %s/%s", plan.attempt, plan.namespace, plan.name)
        result = back_up(plan, places, redact)
        log.info("%s", result.message)
        return result
    except RunFailed as failure:
        return _told(plan, failure)
    except Exception as error:  # noqa: BLE001 - whatever it is, the resource must say so
        log.error("%s", redact(traceback.format_exc()))
        return _told(plan, _unexpected(error, redact))


def _told(plan: Plan | None, failure: RunFailed) -> Result:
    log.error("%s: %s", failure.reason, failure.message)
    return plans.failed(plan, failure)


def _unexpected(error: Exception, redact: Redactor) -> RunFailed:
    words = sentence(redact(f"{type(error).__name__}: {error}"), 300)
    return RunFailed(
        Reason.INTERNAL_ERROR, f"The runner met something it was not made for ({words}): please report it."
    )
