"""Handlers that run in child processes: these must be importable there."""

import os
import time
from pathlib import Path

from qcore import Context


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
