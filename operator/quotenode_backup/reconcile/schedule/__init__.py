"""The life of a QuoteNodeBackup that makes others by the clock."""
