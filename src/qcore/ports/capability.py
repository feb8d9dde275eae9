"""`Capability`: what a broker declares that it can do beyond `Broker`."""

from enum import StrEnum


class Capability(StrEnum):
    """What a broker can do beyond the port; asked for, never inferred from its class."""

    SHARED = "shared"
    """Several processes may work on the one store."""
    DURABLE = "durable"
    """What was acknowledged outlives the process."""
    UNIQUE = "unique"
    """Of tasks with one unique key, one at a time is in a queue."""
    GROUPS = "groups"
    """Tasks of one group can be aggregated: the broker is an `Aggregating`."""
    LIMITS = "limits"
    """How fast and how widely a queue runs can be limited: the broker is a `Limiting`."""
    PERIODIC = "periodic"
    """Entries of periodic tasks lie in it: the broker is a `Periodic`."""
    STATISTICS = "statistics"
    """What ended is counted, by task name and time: the broker is a `Recording`."""
    TIME = "time"
    """The store has a clock, and all who use it go by it: the broker is a `Timekeeper`."""
    WORKERS = "workers"
    """Workers announce themselves in it: the broker is a `WorkerRegistry`."""
    CLAIM_ENDINGS = "claim_endings"
    """It names the tasks that its claims have ended: the broker is a `ClaimEndings`."""
