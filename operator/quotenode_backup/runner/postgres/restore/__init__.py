"""A restore of the database: a copy is loaded beside the live database, and one transaction puts it in its place."""
