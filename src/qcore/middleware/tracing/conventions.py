"""Names of the OpenTelemetry semantic conventions for messaging, 1.44.0 (status: development).

Written out, as the package that has them as constants changes them in minor releases.
"""

from collections.abc import Iterable
from typing import Final

from opentelemetry.util.types import AttributeValue

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


def operation(kind: str, queues: Iterable[str]) -> tuple[str, dict[str, AttributeValue]]:
    """Return the name of a span and the attributes that it shares with metrics.

    The destination is a queue; an operation on several has none.
    """
    attributes: dict[str, AttributeValue] = {
        SYSTEM: "qcore",
        OPERATION_NAME: kind,
        OPERATION_TYPE: kind,
    }
    names = set(queues)
    if len(names) != 1:
        return kind, attributes
    [queue] = names
    attributes[DESTINATION] = queue
    return f"{kind} {queue}", attributes
