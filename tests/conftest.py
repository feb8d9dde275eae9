"""What every test shares: how Hypothesis behaves."""

from hypothesis import settings

# No deadline: on a busy machine a slow example is not a wrong one.
settings.register_profile("ci", deadline=None, derandomize=False, print_blob=True)
settings.load_profile("ci")
