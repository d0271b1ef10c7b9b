"""Kubernetes objects as values: typed things in, plain dicts out. Nothing here reads a clock or a cluster."""
