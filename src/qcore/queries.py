"""Queries of tasks, and what the inspector returns: pages, groups, previews, progress, updates."""

from qcore.app.client.blocking_inspector import BlockingInspector
from qcore.app.client.bulk_moves import Move, MovePreview, MoveProgress
from qcore.app.client.failure_groups import FailureGroup, FailureReport
from qcore.app.client.moving import MoveAnswer, MoveTo
from qcore.app.client.queries import Query
from qcore.app.client.query_terms import Term, Word
from qcore.app.client.queue_listing import QueuePage, QueueSummary
from qcore.app.client.queue_size import QueueSize
from qcore.app.client.store_updates import QueueUpdate, StoreUpdate
from qcore.app.client.task_listing import TaskPage

__all__ = [
    "BlockingInspector",
    "FailureGroup",
    "FailureReport",
    "Move",
    "MoveAnswer",
    "MovePreview",
    "MoveProgress",
    "MoveTo",
    "Query",
    "QueuePage",
    "QueueSize",
    "QueueSummary",
    "QueueUpdate",
    "StoreUpdate",
    "TaskPage",
    "Term",
    "Word",
]
