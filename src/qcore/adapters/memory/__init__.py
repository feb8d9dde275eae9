"""The reference broker: exact, small, and gone with its process."""

from qcore.adapters.memory.broker import MemoryBroker

__all__ = ["MemoryBroker"]
