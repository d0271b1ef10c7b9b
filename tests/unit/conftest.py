"""How properties are tested: without a time limit for an example, since a machine can be busy, and with the same
examples each time, so that a commit is judged by what it changes. For other examples: pytest tests/unit
--hypothesis-profile=search.
"""

from hypothesis import settings

settings.register_profile("search", deadline=None)
settings.register_profile("same", deadline=None, derandomize=True)
settings.load_profile("same")
