"""The reconciler of a QuoteNodeBackup with a schedule, which creates runs."""
