"""Backups of QuoteNode on Kubernetes: an operator that decides, and a runner that moves the bytes."""
