"""What time it is: the clocks of production; `qcore.testing.ManualClock` is that of tests."""

from qcore.adapters.clocks import SystemClock
from qcore.ports import Clock

__all__ = [
    "Clock",
    "SystemClock",
]
