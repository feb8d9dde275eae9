"""Who is told of what happens: the log that is there by default, and the port for others."""

from qcore.adapters.instruments.logging import LoggingInstrument
from qcore.ports import Instrument

__all__ = [
    "Instrument",
    "LoggingInstrument",
]
