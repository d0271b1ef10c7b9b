"""The phase: one word for people. It is derived from the conditions, and nothing is decided by it."""

from collections.abc import Mapping


def phase(holding: Mapping[str, bool]) -> str:
    """`holding`: for each condition type, whether its status is True. The phases have QuoteNode's own names."""
    if holding.get("Complete"):
        return "Completed"
    if holding.get("Failed"):
        return "Failed"
    if holding.get("Recreated"):
        return "Recreated"
    return "Running" if holding.get("Progressing") else "Pending"
