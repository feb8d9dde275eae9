"""Middleware that is often wanted; register it with `q.middleware`, the outermost first.

`q.middleware(log_runs())`, `q.middleware(CircuitBreaker(q))`, `q.middleware(timeouts(q, {…}))`.
"""

from qcore.middleware.breaker import CircuitBreaker
from qcore.middleware.limits import timeouts
from qcore.middleware.logs import log_runs

__all__ = ["CircuitBreaker", "log_runs", "timeouts"]
