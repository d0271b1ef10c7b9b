"""What was measured beside what is promised, as a table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    """One promise. `measured` and `limit` are in the same unit; `at_least` says on which side of the limit it must be."""

    what: str
    measured: float
    limit: float
    unit: str
    at_least: bool = False
    note: str = ""

    @property
    def holds(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


def report(title: str, bounds: list[Bound]) -> int:
    """Print the table; return how many promises are broken."""
    print(f"\n{title}")
    width = max(len(bound.what) for bound in bounds)
    for bound in bounds:
        side = "at least" if bound.at_least else "at most"
        verdict = "ok    " if bound.holds else "BROKEN"
        print(
            f"  {verdict} {bound.what:<{width}}  {bound.measured:8.2f} {bound.unit:<7}"
            f"  ({side} {bound.limit:g})  {bound.note}"
        )
    return sum(not bound.holds for bound in bounds)
