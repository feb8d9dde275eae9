"""A background task queue with pluggable brokers.

What most programs need is here. The rest has its module: `qcore.errors`, `qcore.answers`,
`qcore.events`, `qcore.brokers`, `qcore.serializers`, `qcore.clocks`, `qcore.instruments`,
`qcore.backoff`, `qcore.queues`, `qcore.types`; for those who write brokers `qcore.ports`,
`qcore.tasks`, `qcore.lifecycle` and `qcore.diagnostics`; for tests `qcore.testing`.
"""

from qcore.app.client.client import BlockingClient, Client
from qcore.app.client.handles import Handle
from qcore.app.client.inspector import Inspector
from qcore.app.tasks.chains import chain
from qcore.app.tasks.context import Context
from qcore.app.tasks.router import Router
from qcore.app.worker.settings import WorkerSettings
from qcore.app.worker.worker import Worker
from qcore.domain.control import RateLimited, Retry, Revoke, SkipRetry, Snooze
from qcore.domain.errors import BrokerUnavailable, InvalidOption, InvalidTask, NoResult, QcoreError
from qcore.domain.lifecycle import State
from qcore.domain.new_task import NewTask
from qcore.domain.retry import RetryPolicy
from qcore.domain.task import Task
from qcore.entrypoints.connect import connect
from qcore.entrypoints.facade import Qcore

__all__ = [
    "BlockingClient",
    "BrokerUnavailable",
    "Client",
    "Context",
    "Handle",
    "Inspector",
    "InvalidOption",
    "InvalidTask",
    "NewTask",
    "NoResult",
    "Qcore",
    "QcoreError",
    "RateLimited",
    "Retry",
    "RetryPolicy",
    "Revoke",
    "Router",
    "SkipRetry",
    "Snooze",
    "State",
    "Task",
    "Worker",
    "WorkerSettings",
    "chain",
    "connect",
]
