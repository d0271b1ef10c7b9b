"""The reconciler of a QuoteNodeBackup without a schedule, which is one run."""
