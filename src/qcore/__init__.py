"""A background task queue with pluggable brokers."""

from qcore.app.client import BlockingClient, BlockingHandle, Call, Client, Handle, Refused
from qcore.app.context import Context
from qcore.app.handler import Handler
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
from qcore.domain.lifecycle import State
from qcore.domain.retry import RetryPolicy
from qcore.domain.task import Conflict, Enqueued, NewTask, Task
from qcore.entrypoints.connect import connect
from qcore.entrypoints.facade import Qcore
from qcore.ports import Broker, Capability, Clock, Instrument, Serializer

__all__ = [
    "BlockingClient",
    "BlockingHandle",
    "Broker",
    "BrokerUnavailable",
    "BrokerUnusable",
    "Call",
    "CannotDecode",
    "CannotEncode",
    "Capability",
    "Client",
    "Clock",
    "Conflict",
    "Context",
    "Enqueued",
    "Exponential",
    "Fixed",
    "Handle",
    "Handler",
    "Inspector",
    "Instrument",
    "InvalidOption",
    "InvalidTask",
    "Limits",
    "Linear",
    "Middleware",
    "NewTask",
    "Next",
    "NoResult",
    "Options",
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
    "Serializer",
    "SkipRetry",
    "Snooze",
    "State",
    "Task",
    "Worker",
    "WorkerSettings",
    "connect",
    "exponential",
    "fixed",
    "linear",
]
