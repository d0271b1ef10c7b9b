"""Everything that is asked of PostgreSQL: sessions, locks, the dump, and QuoteNode's table backup_logs."""
