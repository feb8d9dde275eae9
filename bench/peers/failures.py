"""What goes wrong with one system, and must not end the measurement of the others."""


class Failure(Exception):
    """Say why a system could not be measured."""
