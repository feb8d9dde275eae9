"""Names of the OpenTelemetry semantic conventions for messaging, 1.44.0 (status: development).

Written out, as the package that has them as constants changes them in minor releases.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final

from opentelemetry.util.types import AttributeValue

from qcore.domain.record import record
from qcore.domain.text import storable

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
SYSTEM: Final = "messaging.system"
OPERATION_NAME: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
MESSAGE_ID: Final = "messaging.message.id"
BATCH_COUNT: Final = "messaging.batch.message_count"
ERROR_TYPE: Final = "error.type"
EXCEPTION: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"

TASK_NAME: Final = "qcore.task.name"
TASK_ATTEMPT: Final = "qcore.task.attempt"
OUTCOME: Final = "qcore.outcome"
LINK: Final = "qcore.link"
"""On a link: what the other span is to this one."""

OPERATION_DURATION: Final = "messaging.client.operation.duration"
PROCESS_DURATION: Final = "messaging.process.duration"
SENT: Final = "messaging.client.sent.messages"
CONSUMED: Final = "messaging.client.consumed.messages"
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Seconds: without them an SDK has milliseconds, and all that is shorter than 5 s in one bucket."""

LEASE_LOST: Final = "lease_lost"
"""An `error.type`: a run that was cancelled or taken over, a verdict that came too late."""
SHUTDOWN: Final = "shutdown"
"""An `error.type`: a run that was given back, as its worker left."""

PROCESS: Final = "process"
MAX_OPERATIONS: Final = 1_000
"""Kinds of operation and queues that are remembered: queues come from users, and may be many."""


@record
class OperationNames:
    """What the spans and the measurements of one kind of operation on one queue share."""

    span: str
    attributes: Mapping[str, AttributeValue]
    """Of spans."""
    timed: Mapping[str, AttributeValue]
    """Of durations: those of runs have no type of operation."""
    counted: Mapping[str, AttributeValue]
    """Of counters."""


@lru_cache(MAX_OPERATIONS)
def operation(kind: str, queue: str | None) -> OperationNames:
    """Return what is the same for all operations of a kind on a queue; None for on several."""
    counted: dict[str, AttributeValue] = {SYSTEM: "qcore", OPERATION_NAME: kind}
    if queue is not None:
        counted[DESTINATION] = queue
    attributes = counted | {OPERATION_TYPE: kind}
    span = kind if queue is None else storable(f"{kind} {queue}")
    return OperationNames(span, attributes, counted if kind == PROCESS else attributes, counted)


def only(queues: Collection[str]) -> str | None:
    """Return the one queue that an operation is on; None where it is on several."""
    names = set(queues)
    return names.pop() if len(names) == 1 else None
