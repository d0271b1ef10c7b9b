"""The folder of one database's bundles on a volume: what is in it, what is committed to it, and what is removed from it."""
