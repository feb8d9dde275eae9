"""The workers that a broker lists, as they announced themselves, and why a task waits for them."""

from qcore.app.client.waiting import Hindrance, Obstacle
from qcore.domain.workers import Condition, RunningTask, WorkerInfo
from qcore.ports import WorkerRegistry

__all__ = [
    "Condition",
    "Hindrance",
    "Obstacle",
    "RunningTask",
    "WorkerInfo",
    "WorkerRegistry",
]
