"""`python -m quotenode_backup health` asks the application until it serves, or until its time is over."""

import logging
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from quotenode_backup.contract.restore_plans import HealthPlan
from quotenode_backup.contract.results import Result
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.process import plan_io, program
from quotenode_backup.runner.process.display import escape, sentence
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.process.program import Command, Context
from quotenode_backup.runner.process.signals import Unfinished
from quotenode_backup.runner.process.threads import pause

log = logging.getLogger(__name__)

AN_ANSWER = Unfinished("the application served", "raise spec.application.healthCheck.timeoutSeconds")
EVERY_SECONDS, ANSWER_SECONDS = 1.0, 10.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def main(arguments: Sequence[str], mounts: Mounts | None = None) -> int:
    return program.run(Command(HealthPlan, Result, wait_until_healthy, AN_ANSWER), arguments, mounts)


def wait_until_healthy(plan: HealthPlan, context: Context) -> Result:
    began, fault = time.monotonic(), ""
    while time.monotonic() - began < plan.timeout_seconds:
        context.signals.require_none()
        fault = _fault(plan.url)
        seconds = time.monotonic() - began
        if not fault:
            return plan_io.succeeded(plan, f"{plan.url} answers after {seconds:.0f} s.", Result)
        log.info("%s: %s", plan.url, fault)
        pause(EVERY_SECONDS)
    raise RunFailed(
        Reason.HEALTH_CHECK_FAILED,
        f"{escape(plan.url, 200)} does not answer within {plan.timeout_seconds} s ({sentence(fault, 150)}): the data is restored. See the log of the "
        "application, and undo the restore with spec.source.undoOf if the data is the cause.",
    )


def _fault(url: str) -> str:
    """Why the application does not serve; empty if it does."""
    try:
        with _OPENER.open(url, timeout=ANSWER_SECONDS) as answer:
            return "" if 200 <= answer.status < 300 else f"status {answer.status}"
    except urllib.error.HTTPError as error:
        return f"status {error.code}"
    except (OSError, ValueError) as error:
        return str(error)
