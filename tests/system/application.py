"""An application for worker processes under test; its handlers speak through files."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from qcore import Context, Qcore

GLANCE = 0.01
LONGEST = 60.0
KEPT = 3600.0

q = Qcore()


@q.task("note", retention=KEPT)
async def note(ctx: Context, folder: str) -> None:
    """Write down who ran."""
    write(folder, ctx)


@q.task("meet")
async def meet(ctx: Context, folder: str, workers: int) -> None:
    """Write down who ran, and go on once so many workers have written something."""
    write(folder, ctx)
    await until(lambda: len(files(folder, "ran-*")) >= workers)


@q.task("hold", retention=KEPT)
async def hold(ctx: Context, folder: str) -> str:
    """Say that it runs, and go on until there is a file "release"."""
    write(folder, ctx)
    await until(lambda: bool(files(folder, "release")))
    return "held"


@q.task("hold in a thread", retention=KEPT)
def hold_thread(ctx: Context, folder: str) -> None:
    """Say that it runs, and go on for longer than any test."""
    write(folder, ctx)
    time.sleep(LONGEST)


@q.task("hold in a lent thread", retention=KEPT)
async def hold_lent_thread(ctx: Context, folder: str) -> None:
    """Hold a thread of those that asyncio joins."""
    await asyncio.to_thread(hold_thread.function, ctx, folder)


@q.task("hold in a process", process=True, retention=KEPT)
def hold_process(ctx: Context, folder: str) -> None:
    """Hold a process."""
    hold_thread.function(ctx, folder)


@q.task("log in a process", process=True)
def log_in_process(ctx: Context) -> None:
    """Write to the log."""
    ctx.log.info("logged in a process")


def write(folder: str, ctx: Context) -> None:
    """Add a line to the file of this process."""
    with Path(folder, f"ran-{os.getpid()}").open("a") as file:
        file.write(f"{ctx.id}\n")


def files(folder: str, pattern: str) -> list[Path]:
    """Return the files of a folder whose names are like that."""
    return list(Path(folder).glob(pattern))


async def until(come: Callable[[], bool]) -> None:
    """Wait until something has come about that another process does."""
    async with asyncio.timeout(LONGEST):
        while not come():  # noqa: ASYNC110  (no event reaches from there to here)
            await asyncio.sleep(GLANCE)
