"""Ports: the protocols through which the application uses a store, a clock, a serializer.

A `Broker` is composed by reader: `Producer` (a client), `Consumer` (a worker), `Reader` (a task's
handle), `Operator` (an inspector). What a broker may have besides is a protocol of its own:
`Limiting`, `Aggregating`, `Periodic`, `Recording`, `WorkerRegistry`, `Timekeeper`, `ClaimEndings`,
`Diagnosable`, each asked for by a function such as `limiting_of`.

Every bullet in the docstrings of a broker's protocols is a promise, and has a case in
`qcore.testing.contract`. Batches go in, and answers come back in the order asked. Moments are
seconds since the epoch (UTC); `now` is an argument, and no broker reads a clock for it. Expected
answers are values. A store that does not serve raises `BrokerUnavailable` where it may later, and
`BrokerUnusable` where somebody has to act; then nothing of the call may be assumed. One that does
not take what is in the call, as a text is too long for it, raises `BrokerRefused`: then nothing of
it was written, or that to which the error has answers.
"""

from qcore.ports.aggregating import Aggregating, aggregating_of
from qcore.ports.broker import Broker, Verb
from qcore.ports.capability import Capability
from qcore.ports.claim_endings import ClaimEndings, claim_endings_of
from qcore.ports.clock import Alarms, Clock, alarms_of, start_upkeep
from qcore.ports.consumer import Consumer
from qcore.ports.diagnosable import Diagnosable, diagnosable_of
from qcore.ports.instrument import MAX_CALL_TIMES, Instrument
from qcore.ports.limiting import Limiting, limiting_of
from qcore.ports.operator import Counts, Operator, Page
from qcore.ports.periodic import Periodic, periodic_of
from qcore.ports.producer import Producer
from qcore.ports.reader import Reader
from qcore.ports.recording import Recording, recording_of
from qcore.ports.serializer import Serializer
from qcore.ports.subscription import (
    EntriesChanged,
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
from qcore.ports.worker_registry import WorkerRegistry, worker_registry_of

__all__ = [
    "MAX_CALL_TIMES",
    "Aggregating",
    "Alarms",
    "Broker",
    "Capability",
    "ClaimEndings",
    "Clock",
    "Consumer",
    "Counts",
    "Diagnosable",
    "EntriesChanged",
    "Instrument",
    "Kinds",
    "LeaseEnded",
    "Limiting",
    "Notification",
    "Notifier",
    "Notify",
    "Operator",
    "Page",
    "Periodic",
    "Producer",
    "Reader",
    "Recording",
    "Serializer",
    "Subscription",
    "TasksChanged",
    "Timekeeper",
    "Verb",
    "WorkAvailable",
    "WorkerRegistry",
    "aggregating_of",
    "alarms_of",
    "claim_endings_of",
    "diagnosable_of",
    "limiting_of",
    "periodic_of",
    "recording_of",
    "start_upkeep",
    "timekeeper_of",
    "worker_registry_of",
]
