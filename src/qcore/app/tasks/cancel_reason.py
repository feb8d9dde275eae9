"""Why a worker ends a run before its handler has returned."""

from enum import Enum, auto


class CancelReason(Enum):
    """Why the worker cancels a run; it decides what the handler's error means."""

    TIMEOUT = auto()
    LEASE_LOST = auto()
    SHUTDOWN = auto()
