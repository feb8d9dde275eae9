"""Handlers that run in child processes: these must be importable there."""

import os
import time
from pathlib import Path

from opentelemetry import trace

from qcore import Context, Qcore
from qcore.tracing import run_context


def work(ctx: Context, path: str) -> str:
    """Fail unless there is a file."""
    if not Path(path).exists():
        raise ConnectionError("no route")
    return "done"


def deadline(ctx: Context) -> float | None:
    """Return when this run is cut short."""
    return ctx.deadline


def hang(ctx: Context, path: str) -> None:
    """Say which process this is, and never end."""
    Path(path).with_suffix(".new").write_text(str(os.getpid()))
    Path(path).with_suffix(".new").rename(path)
    while True:
        time.sleep(60)


def register_traced(q: Qcore) -> None:
    """Have a handler that says in its process which span is the current one."""
    q.task("where", process=True)(where)


def where(ctx: Context) -> list[object]:
    """Return the context in the headers, and the span that is the current one."""
    with run_context(ctx):
        span = trace.get_current_span().get_span_context()
    return [ctx.headers["traceparent"], span.span_id]
