"""Builds manifests of Kubernetes objects: typed values in, plain dicts out. Nothing here reads a clock or a cluster."""
