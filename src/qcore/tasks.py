"""A task as it is asked for, as it is stored, and the right to run it."""

from qcore.app.tasks.cancel_reason import CancelReason
from qcore.app.tasks.ends import Ended
from qcore.domain.audit import AuditRecord
from qcore.domain.groups import Group
from qcore.domain.moments import Duration, Moment
from qcore.domain.new_task import NewTask, TaskId
from qcore.domain.run_details import AttemptError, Details, DetailsUpdate, Progress
from qcore.domain.snapshots import TaskSnapshot
from qcore.domain.task import Claim, Demand, Lease, RetentionPolicy, Task, Verdict, token_floor

__all__ = [
    "AttemptError",
    "AuditRecord",
    "CancelReason",
    "Claim",
    "Demand",
    "Details",
    "DetailsUpdate",
    "Duration",
    "Ended",
    "Group",
    "Lease",
    "Moment",
    "NewTask",
    "Progress",
    "RetentionPolicy",
    "Task",
    "TaskId",
    "TaskSnapshot",
    "Verdict",
    "token_floor",
]
