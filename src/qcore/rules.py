"""The rules that every broker applies, as functions: what a call makes of what is stored.

A broker that calls them decides nothing by itself; one that decides in the language of its store is
compared with them by `qcore.testing.machine`.
"""

from qcore.domain.crash_isolation import is_last_chance, most_together, room_beside
from qcore.domain.effects import MutableTask, apply
from qcore.domain.groups import check_aggregate
from qcore.domain.lifecycle import advance
from qcore.domain.moments import LAST_MOMENT
from qcore.domain.new_task import CHANGEABLE, FIELDS
from qcore.domain.periodic.changes import check_change
from qcore.domain.periodic.stored_form import decode_entry, encode_entry
from qcore.domain.queue_limits import ruled as limits_with
from qcore.domain.run_details import NO_DETAILS
from qcore.domain.run_details import after as details_after
from qcore.domain.run_details import noted as details_with
from qcore.domain.snapshots import (
    asked_due,
    gives_way,
    is_successor,
    key_until,
    restored_state,
)
from qcore.domain.states import state_of
from qcore.domain.statistics import Ending, add_rows, statistics_of, tallied
from qcore.domain.task import changed as task_with
from qcore.domain.task import state_of_new, token_floor
from qcore.domain.task_fields import TaskField

__all__ = [
    "CHANGEABLE",
    "FIELDS",
    "LAST_MOMENT",
    "NO_DETAILS",
    "Ending",
    "MutableTask",
    "TaskField",
    "add_rows",
    "advance",
    "apply",
    "asked_due",
    "check_aggregate",
    "check_change",
    "decode_entry",
    "details_after",
    "details_with",
    "encode_entry",
    "gives_way",
    "is_last_chance",
    "is_successor",
    "key_until",
    "limits_with",
    "most_together",
    "restored_state",
    "room_beside",
    "state_of",
    "state_of_new",
    "statistics_of",
    "tallied",
    "task_with",
    "token_floor",
]
