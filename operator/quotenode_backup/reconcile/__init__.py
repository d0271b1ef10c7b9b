"""Observe, decide, act: one pass over one resource at a time. Safe to repeat, safe to lose."""
