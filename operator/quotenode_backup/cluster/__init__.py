"""The only code that talks to the Kubernetes API. Live reads, create-or-adopt, compare-and-swap; no decisions."""
