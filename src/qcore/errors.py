"""Every error that qcore raises; `QcoreError` is the base of them all."""

from qcore.app.client.inline import Suspended
from qcore.app.tasks.context import NoState
from qcore.app.tasks.lifespan import LifespanFailed
from qcore.app.worker.pools.error_stand_in import RemoteError
from qcore.domain.errors import (
    AggregationFailure,
    BrokerRefused,
    BrokerUnavailable,
    BrokerUnusable,
    CannotDecode,
    CannotEncode,
    InvalidOption,
    InvalidTask,
    NoResult,
    ProcessDied,
    QcoreError,
    QueueHasTasks,
    ResultNotKept,
    StoreMissing,
    UnknownFormat,
)

__all__ = [
    "AggregationFailure",
    "BrokerRefused",
    "BrokerUnavailable",
    "BrokerUnusable",
    "CannotDecode",
    "CannotEncode",
    "InvalidOption",
    "InvalidTask",
    "LifespanFailed",
    "NoResult",
    "NoState",
    "ProcessDied",
    "QcoreError",
    "QueueHasTasks",
    "RemoteError",
    "ResultNotKept",
    "StoreMissing",
    "Suspended",
    "UnknownFormat",
]
