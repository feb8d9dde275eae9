"""A background task queue with pluggable brokers.

What most programs need is here. The rest has its module: `qcore.errors`, `qcore.answers`,
`qcore.events`, `qcore.brokers`, `qcore.serializers`, `qcore.clocks`, `qcore.instruments`,
`qcore.backoff`, `qcore.schedules`, `qcore.periodic`, `qcore.queries`, `qcore.queues`,
`qcore.types`; for those who write brokers `qcore.ports`, `qcore.tasks`, `qcore.lifecycle` and
`qcore.diagnostics`; for tests `qcore.testing`.

Each name is imported when it is asked for, so that a program which needs none of them yet, such as
the command line until it has its signal handlers, does not wait for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from qcore.app.calls.periodic_task import PeriodicTask
    from qcore.app.calls.provided import Provided
    from qcore.app.client.client import BlockingClient, Client
    from qcore.app.client.handles import Handle
    from qcore.app.client.inspector import Inspector
    from qcore.app.tasks.chains import chain
    from qcore.app.tasks.context import Context
    from qcore.app.tasks.router import Router
    from qcore.app.worker.settings import WorkerSettings
    from qcore.app.worker.worker import Worker
    from qcore.domain.control import RateLimited, Retry, Revoke, SkipRetry, Snooze
    from qcore.domain.errors import (
        BrokerUnavailable,
        InvalidOption,
        InvalidTask,
        NoResult,
        QcoreError,
    )
    from qcore.domain.new_task import NewTask
    from qcore.domain.retry import RetryPolicy
    from qcore.domain.schedules.cron import Cron
    from qcore.domain.states import State
    from qcore.domain.task import Task
    from qcore.entrypoints.connect import connect
    from qcore.entrypoints.facade import Qcore
else:
    _HOMES: Final = {
        "BlockingClient": "qcore.app.client.client",
        "BrokerUnavailable": "qcore.domain.errors",
        "Client": "qcore.app.client.client",
        "Context": "qcore.app.tasks.context",
        "Cron": "qcore.domain.schedules.cron",
        "Handle": "qcore.app.client.handles",
        "Inspector": "qcore.app.client.inspector",
        "InvalidOption": "qcore.domain.errors",
        "InvalidTask": "qcore.domain.errors",
        "NewTask": "qcore.domain.new_task",
        "NoResult": "qcore.domain.errors",
        "PeriodicTask": "qcore.app.calls.periodic_task",
        "Provided": "qcore.app.calls.provided",
        "Qcore": "qcore.entrypoints.facade",
        "QcoreError": "qcore.domain.errors",
        "RateLimited": "qcore.domain.control",
        "Retry": "qcore.domain.control",
        "RetryPolicy": "qcore.domain.retry",
        "Revoke": "qcore.domain.control",
        "Router": "qcore.app.tasks.router",
        "SkipRetry": "qcore.domain.control",
        "Snooze": "qcore.domain.control",
        "State": "qcore.domain.states",
        "Task": "qcore.domain.task",
        "Worker": "qcore.app.worker.worker",
        "WorkerSettings": "qcore.app.worker.settings",
        "chain": "qcore.app.tasks.chains",
        "connect": "qcore.entrypoints.connect",
    }

    def __getattr__(name: str) -> Any:
        """Import a name from its module, and keep it."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        """Return the names that are here, and those to be imported."""
        return sorted({*globals(), *_HOMES})


__all__ = [
    "BlockingClient",
    "BrokerUnavailable",
    "Client",
    "Context",
    "Cron",
    "Handle",
    "Inspector",
    "InvalidOption",
    "InvalidTask",
    "NewTask",
    "NoResult",
    "PeriodicTask",
    "Provided",
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
