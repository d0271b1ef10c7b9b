"""The data of a world in memory, as the Jobs of restores change it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from quotenode_backup.contract.plans import Plan
from quotenode_backup.contract.restore_plans import (
    ExpiryPlan,
    HealthPlan,
    LoadPlan,
    RestoreSwapPlan,
    SwapSide,
    VerifyPlan,
)
from quotenode_backup.contract.restore_results import (
    BundleFacts,
    ExpiryResult,
    LoadedDatabase,
    LoadResult,
    SwapResult,
    VerifyResult,
)
from quotenode_backup.contract.results import Outcome, Result
from quotenode_backup.domain.reasons import Reason

AnyResult = TypeVar("AnyResult", bound=Result)
Script = Callable[[str, Plan], Reason]
"""How the Job of a step and a plan ends. A swap that ends with `SwapUndecided` was committed all the same."""


class Served(Protocol):
    def application_pods(self) -> int: ...


@dataclass
class RestoredData:
    world: Served
    script: Script = lambda *_: Reason.COMPLETED
    live: str = "old"
    """`old`, or the UID of the restore whose data is live."""
    loaded: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    served_during_swap: list[int] = field(default_factory=list)
    """How many pods the application had at the end of each swap."""

    def reported(self, step: str, text: str) -> Result:
        match step:
            case "verify":
                return self._verified(VerifyPlan.model_validate_json(text))
            case "load":
                return self._loaded(LoadPlan.model_validate_json(text))
            case "swap":
                return self._swapped(RestoreSwapPlan.model_validate_json(text))
            case "health":
                return self._base(step, HealthPlan.model_validate_json(text), Result)
            case _:
                return self._expired(ExpiryPlan.model_validate_json(text))

    def _base(self, step: str, plan: Plan, kind: type[AnyResult]) -> AnyResult:
        reason = self.script(step, plan)
        outcome = Outcome.SUCCEEDED if reason is Reason.COMPLETED else Outcome.FAILED
        message = f"{step} {plan.attempt} ended with {reason}"
        return kind(run_uid=plan.run_uid, attempt=plan.attempt, outcome=outcome, reason=reason, message=message)

    def _verified(self, plan: VerifyPlan) -> Result:
        found = self._base("verify", plan, VerifyResult)
        facts = BundleFacts(sha256=plan.bundle.sha256 or "a" * 64, tables=3)
        return found.model_copy(update={"facts": facts}) if found.outcome is Outcome.SUCCEEDED else found

    def _loaded(self, plan: LoadPlan) -> Result:
        found = self._base("load", plan, LoadResult)
        if found.outcome is not Outcome.SUCCEEDED:
            return found
        self.loaded.add(plan.run_uid)
        update = {"bundle_sha256": "a" * 64, "seconds": 2.0, "database": LoadedDatabase(tables=3, rows=30)}
        return found.model_copy(update=update)

    def _swapped(self, plan: RestoreSwapPlan) -> Result:
        self.served_during_swap.append(self.world.application_pods())
        found = self._base("swap", plan, SwapResult)
        is_done = found.reason in (Reason.COMPLETED, Reason.SWAP_UNDECIDED)
        if is_done and self.live != plan.run_uid:
            assert plan.undo_of or plan.run_uid in self.loaded
            self.live = plan.run_uid
            self.kept.add(plan.run_uid)
        side = SwapSide.NEW if found.outcome is Outcome.SUCCEEDED else SwapSide.UNKNOWN if is_done else SwapSide.OLD
        return found.model_copy(update={"side": side, "seconds": 1.0, "kept_database": "shop_before"})

    def _expired(self, plan: ExpiryPlan) -> Result:
        found = self._base("expire", plan, ExpiryResult)
        if found.outcome is Outcome.SUCCEEDED:
            self.loaded.discard(plan.run_uid)
            self.kept.discard(plan.run_uid)
        return found
