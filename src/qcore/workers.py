"""The workers that a broker lists, as they have announced themselves."""

from qcore.domain.workers import Condition, RunningTask, WorkerInfo
from qcore.ports import WorkerRegistry

__all__ = [
    "Condition",
    "RunningTask",
    "WorkerInfo",
    "WorkerRegistry",
]
