"""A real two-node kind cluster for tests and demo, with or without an image registry.

It runs before any virtual environment exists, so only the standard library is used here.
"""
