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
    Restoration,
    Restored,
    Settled,
    Swept,
    SweptTask,
    UnreadableTask,
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
    "Restoration",
    "Restored",
    "Settled",
    "Stale",
    "Swept",
    "SweptTask",
    "UnreadableTask",
]
