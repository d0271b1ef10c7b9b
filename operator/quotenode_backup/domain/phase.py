"""The phase: one word for people, derived from the conditions and never the memory of anything."""

from collections.abc import Mapping


def phase(holding: Mapping[str, bool]) -> str:
    """`holding`: condition type -> whether it is True. The words are QuoteNode's own."""
    if holding.get("Complete"):
        return "Completed"
    if holding.get("Failed"):
        return "Failed"
    if holding.get("Restored"):
        return "Restored"
    return "Running" if holding.get("Progressing") else "Pending"
