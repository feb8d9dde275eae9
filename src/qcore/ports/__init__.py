"""The edge: what the application asks of the world, and what the world must keep.

Every bullet below is a promise, and has a case in `qcore.testing.contract`. Batches go in, answers
come back in the order asked. Time arrives as `now`: no broker reads a clock. Expected answers are
values; a store that is unwell raises `BrokerUnavailable` (it may be well later) or
`BrokerUnusable` (somebody has to act), and then nothing of the call may be assumed.
"""

from qcore.ports.aggregating import Aggregating, aggregating_of
from qcore.ports.broker import Broker, Verb
from qcore.ports.capability import Capability
from qcore.ports.clock import Clock
from qcore.ports.consumer import Consumer
from qcore.ports.diagnosable import Diagnosable, diagnosable_of
from qcore.ports.instrument import Instrument
from qcore.ports.limiting import Limiting, limiting_of
from qcore.ports.operator import Counts, Operator, Page
from qcore.ports.producer import Producer
from qcore.ports.reader import Reader
from qcore.ports.serializer import Serializer
from qcore.ports.subscription import (
    Kinds,
    LeaseEnded,
    Notification,
    Notifier,
    Notify,
    Subscription,
    TasksChanged,
    WorkAvailable,
)
from qcore.ports.timekeeper import Timekeeper, timekeeper_of

__all__ = [
    "Aggregating",
    "Broker",
    "Capability",
    "Clock",
    "Consumer",
    "Counts",
    "Diagnosable",
    "Instrument",
    "Kinds",
    "LeaseEnded",
    "Limiting",
    "Notification",
    "Notifier",
    "Notify",
    "Operator",
    "Page",
    "Producer",
    "Reader",
    "Serializer",
    "Subscription",
    "TasksChanged",
    "Timekeeper",
    "Verb",
    "WorkAvailable",
    "aggregating_of",
    "diagnosable_of",
    "limiting_of",
    "timekeeper_of",
]
