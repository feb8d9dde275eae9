"""Ids that grow with time: UUID version 7 (RFC 9562, section 5.7), as 32 hexadecimal digits."""

from qcore.domain.moments import Moment
from qcore.domain.task import TaskId

ENTROPY_BYTES = 10


def task_id(now: Moment, entropy: bytes) -> TaskId:
    """Return the id for a moment (its milliseconds, 48 bits) and ten bytes of entropy."""
    bits = int.from_bytes(entropy) & ~(0xF << 76) | (0x7 << 76)
    bits = bits & ~(0x3 << 62) | (0x2 << 62)
    return f"{int(now * 1000):012x}{bits:020x}"
