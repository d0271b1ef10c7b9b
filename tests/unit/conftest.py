"""How properties are tested: without a time limit for an example, since a busy machine is no fault of the code."""

from hypothesis import settings

settings.register_profile("without-deadline", parent=settings(), deadline=None)
settings.load_profile("without-deadline")
