"""What users test with: virtual time, a worker that drains, faults, signals and builders.

`qcore.testing.contract` and `qcore.testing.machine` are for those who write brokers; they want
pytest and Hypothesis (`pip install 'qcore-queue[testing]'`), this module does not.
"""

from qcore.testing.assertions import assert_enqueued
from qcore.testing.builders import a_task, some_tasks
from qcore.testing.clock import ManualClock
from qcore.testing.context import RecordedRun, a_context
from qcore.testing.dice import ScriptedDice
from qcore.testing.draining import drain, drain_sync
from qcore.testing.faults import FaultyBroker
from qcore.testing.signals import Signals

__all__ = [
    "FaultyBroker",
    "ManualClock",
    "RecordedRun",
    "ScriptedDice",
    "Signals",
    "a_context",
    "a_task",
    "assert_enqueued",
    "drain",
    "drain_sync",
    "some_tasks",
]
