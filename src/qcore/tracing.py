"""OpenTelemetry: spans of what is sent, run and settled, their metrics, and their ids in the log.

Needs the extra `otel`: pip install 'qcore-queue[otel]'.
"""

from qcore.middleware.tracing.install import run_context, trace_tasks
from qcore.middleware.tracing.logs import add_trace_ids

__all__ = [
    "add_trace_ids",
    "run_context",
    "trace_tasks",
]
