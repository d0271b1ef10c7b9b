"""When to look again, if no event comes before."""

from datetime import timedelta

NOW = timedelta(0)
SOON = timedelta(seconds=1)
LOCK_TICK = timedelta(seconds=2)
"""What is waited for is another run's, or the cluster's, and tells us nothing."""
TICK = timedelta(seconds=10)
"""How often an unfinished run is looked at when nothing happens: Events of Jobs and pods come at once."""
REFUSED_TICK = timedelta(minutes=1)
"""Somebody has to allow something."""
