"""What a doctor finds of a store, and how bad it is."""

from qcore.domain.diagnostics import GRADES, Finding, Grade, advice, error, ok, warning
from qcore.ports import Diagnosable

__all__ = [
    "GRADES",
    "Diagnosable",
    "Finding",
    "Grade",
    "advice",
    "error",
    "ok",
    "warning",
]
