"""Everything that talks to PostgreSQL: sessions, locks, the dump, and QuoteNode's table backup_logs."""
