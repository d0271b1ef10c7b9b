"""What keeps the operator going: kopf's streams, the keyed queue, the resync, probes and metrics. Decides nothing."""
