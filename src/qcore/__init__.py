"""A background task queue with pluggable brokers."""

from qcore.app.calls.call import Call, Refused, Step
from qcore.app.calls.options import Options
from qcore.app.client.changes import Changes
from qcore.app.client.client import BlockingClient, Client
from qcore.app.client.handles import BlockingHandle, Handle, Seen
from qcore.app.client.inspector import Inspector
from qcore.app.tasks.aggregators import Aggregate, AggregationOptions
from qcore.app.tasks.chains import BlockingChainHandle, Chain, ChainHandle, chain
from qcore.app.tasks.context import Context
from qcore.app.tasks.handler import Handler
from qcore.app.tasks.router import Middleware, Next, Router
from qcore.app.worker.settings import WorkerSettings
from qcore.app.worker.worker import Worker
from qcore.domain.answers import Conflict, Enqueued, Missing, Moved, NotAllowed
from qcore.domain.backoff import Exponential, Fixed, Linear, Quartic, exponential, fixed, linear
from qcore.domain.control import RateLimited, Retry, Revoke, SkipRetry, Snooze
from qcore.domain.errors import (
    BrokerUnavailable,
    BrokerUnusable,
    CannotDecode,
    CannotEncode,
    InvalidOption,
    InvalidTask,
    NoResult,
    QcoreError,
)
from qcore.domain.groups import Group
from qcore.domain.lifecycle import State
from qcore.domain.new_task import NewTask
from qcore.domain.queue_limits import Limits, Rate
from qcore.domain.retry import RetryPolicy
from qcore.domain.run_details import AttemptError, Details, Progress
from qcore.domain.task import Task
from qcore.entrypoints.connect import connect
from qcore.entrypoints.facade import Qcore
from qcore.ports import Broker, Capability, Clock, Instrument, Serializer

__all__ = [
    "Aggregate",
    "AggregationOptions",
    "AttemptError",
    "BlockingChainHandle",
    "BlockingClient",
    "BlockingHandle",
    "Broker",
    "BrokerUnavailable",
    "BrokerUnusable",
    "Call",
    "CannotDecode",
    "CannotEncode",
    "Capability",
    "Chain",
    "ChainHandle",
    "Changes",
    "Client",
    "Clock",
    "Conflict",
    "Context",
    "Details",
    "Enqueued",
    "Exponential",
    "Fixed",
    "Group",
    "Handle",
    "Handler",
    "Inspector",
    "Instrument",
    "InvalidOption",
    "InvalidTask",
    "Limits",
    "Linear",
    "Middleware",
    "Missing",
    "Moved",
    "NewTask",
    "Next",
    "NoResult",
    "NotAllowed",
    "Options",
    "Progress",
    "Qcore",
    "QcoreError",
    "Quartic",
    "Rate",
    "RateLimited",
    "Refused",
    "Retry",
    "RetryPolicy",
    "Revoke",
    "Router",
    "Seen",
    "Serializer",
    "SkipRetry",
    "Snooze",
    "State",
    "Step",
    "Task",
    "Worker",
    "WorkerSettings",
    "chain",
    "connect",
    "exponential",
    "fixed",
    "linear",
]
