"""What signals of the operating system mean to a worker that a program runs by itself."""

from qcore.entrypoints.signals import obey_signals

__all__ = ["obey_signals"]
