"""How queues share a worker, and how fast and how widely each may run."""

from qcore.domain.queue_limits import LimitChange, Limits, Rate, SetInFlight, SetPaused, SetRate
from qcore.domain.queue_weights import QueueWeights, Strict, Weighted
from qcore.ports import Limiting

__all__ = [
    "LimitChange",
    "Limiting",
    "Limits",
    "QueueWeights",
    "Rate",
    "SetInFlight",
    "SetPaused",
    "SetRate",
    "Strict",
    "Weighted",
]
