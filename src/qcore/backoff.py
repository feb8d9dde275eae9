"""Curves of delays between retries, and the policy that uses one."""

from qcore.domain.backoff import (
    Backoff,
    Curve,
    Exponential,
    Fixed,
    Linear,
    Quartic,
    exponential,
    fixed,
    linear,
)
from qcore.domain.retry import RetryPolicy

__all__ = [
    "Backoff",
    "Curve",
    "Exponential",
    "Fixed",
    "Linear",
    "Quartic",
    "RetryPolicy",
    "exponential",
    "fixed",
    "linear",
]
