"""The life of a QuoteNodeBackup that makes one backup."""
