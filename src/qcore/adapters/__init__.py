"""Things we call."""
