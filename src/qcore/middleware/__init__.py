"""Middleware that is often wanted; register it with `q.middleware`, the outermost first.

`q.middleware(log_runs())`, `q.middleware(CircuitBreaker(q))`, `q.middleware(timeouts(q, {…}))`.
"""

from qcore.middleware.circuit_breaker import CircuitBreaker
from qcore.middleware.log_context import log_runs
from qcore.middleware.named_timeouts import timeouts

__all__ = ["CircuitBreaker", "log_runs", "timeouts"]
