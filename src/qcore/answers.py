"""Every expected outcome of a call, as a value of its own type."""

from qcore.app.calls.call import Refused
from qcore.domain.answers import (
    Admission,
    Conflict,
    Duplicate,
    Enqueued,
    LeaseLost,
    Missing,
    Moved,
    NotAllowed,
    QueueNotEmpty,
    QueueRemoved,
    Settled,
    Swept,
)
from qcore.domain.groups import Stale
from qcore.domain.run_details import DetailsSaved

__all__ = [
    "Admission",
    "Conflict",
    "DetailsSaved",
    "Duplicate",
    "Enqueued",
    "LeaseLost",
    "Missing",
    "Moved",
    "NotAllowed",
    "QueueNotEmpty",
    "QueueRemoved",
    "Refused",
    "Settled",
    "Stale",
    "Swept",
]
