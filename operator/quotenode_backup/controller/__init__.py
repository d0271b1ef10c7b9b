"""Runs the operator: kopf's watch streams, the keyed queue, the resync, probes and metrics. Nothing is decided here."""
