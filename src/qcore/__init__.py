"""A background task queue with pluggable brokers."""

from qcore.app.aggregators import Aggregate, Ripening
from qcore.app.chains import BlockingChainHandle, Chain, ChainHandle, chain
from qcore.app.changes import Changes
from qcore.app.client import BlockingClient, BlockingHandle, Call, Client, Handle, Refused, Step
from qcore.app.context import Context
from qcore.app.handler import Handler
from qcore.app.handles import Seen
from qcore.app.inspector import Inspector
from qcore.app.options import Options
from qcore.app.router import Middleware, Next, Router
from qcore.app.settings import WorkerSettings
from qcore.app.worker import Worker
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
from qcore.domain.flow import Limits, Rate
from qcore.domain.groups import Group
from qcore.domain.lifecycle import State
from qcore.domain.notes import Details, Fault, Progress
from qcore.domain.retry import RetryPolicy
from qcore.domain.task import Conflict, Enqueued, Missing, Moved, NewTask, NotAllowed, Task
from qcore.entrypoints.connect import connect
from qcore.entrypoints.facade import Qcore
from qcore.ports import Broker, Capability, Clock, Instrument, Serializer

__all__ = [
    "Aggregate",
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
    "Fault",
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
    "Ripening",
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
