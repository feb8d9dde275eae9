"""Ids of tasks: those that grow with time, and those that follow from another.

The first are UUIDs of version 7 (RFC 9562, section 5.7), in 32 hexadecimal digits. The others are
the same whenever they are made again, so that a run that is repeated adds nothing twice.
"""

from datetime import UTC, datetime
from hashlib import sha256

from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId

ENTROPY_BYTES = 10
DIGITS = 32
VERSION_7 = 0x7 << 76 | 0x2 << 62
"""The version, and the variant of RFC 9562, each in its bits of an id,"""
RANDOM_BITS = (1 << 80) - 1 & ~(0xF << 76 | 0x3 << 62)
"""and the bits that are random."""


def task_id(now: Moment, entropy: bytes) -> TaskId:
    """Return the id for a moment (its milliseconds, 48 bits) and ten bytes of entropy."""
    random = int.from_bytes(entropy) & RANDOM_BITS
    return "%032x" % (int(now * 1000) << 80 | random | VERSION_7)


def follow_up_id(queue: str, task: TaskId, created: Moment, position: int) -> TaskId:
    """Return the id of what a task asks for, the first at position 0.

    Another task that is given the same id later was created at another moment: what it asks for is
    not the same.
    """
    return _derived("then", queue, task, repr(float(created)), str(position))


def next_id(queue: str, task: TaskId) -> TaskId:
    """Return the id of the step after a task in its chain."""
    return _derived("chain", queue, task)


def tick_id(entry: str, at: Moment) -> TaskId:
    """Return the id of the task of a periodic entry for an instant, to be read by people too."""
    return (
        f"{entry}@{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S.%f}".removesuffix(".000000")
        + "Z"
    )


def run_now_id(entry: str, at: Moment) -> TaskId:
    """Return the id of the task of a periodic entry that was run by hand at a moment."""
    return f"{tick_id(entry, at)}+run"


def _derived(*words: str) -> TaskId:
    # neither a queue nor an id has a NUL in it
    return sha256("\0".join(words).encode()).hexdigest()[:DIGITS]
