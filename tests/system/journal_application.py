"""An application for worker processes on a store that many share; handlers write journals."""

import asyncio
import os
import time
from pathlib import Path

from qcore import Context, Qcore
from qcore.adapters.instruments.logging import LoggingInstrument
from tests.system.journal import FOLDER, Scribe

GLANCE = 0.01
LONGEST = 60.0

scribe = Scribe()
q = Qcore(instruments=(LoggingInstrument(), scribe))


@q.task("work")
async def work(ctx: Context, seconds: float = 0.0) -> int:
    """Take a while, and tell under which token: the result says which run it is of."""
    scribe.began(ctx)
    await asyncio.sleep(seconds)
    return ctx.lease.token


@q.task("hold")
async def hold(ctx: Context) -> int:
    """Go on until the task is released."""
    scribe.began(ctx)
    async with asyncio.timeout(LONGEST):
        while not is_released():  # noqa: ASYNC110  (no event reaches from there to here)
            await asyncio.sleep(GLANCE)
    return ctx.lease.token


@q.task("hold the loop")
async def hold_loop(ctx: Context) -> int:
    """Keep the event loop from turning until the task is released."""
    scribe.began(ctx)
    return wait_for_release(ctx)


@q.task("hold a thread")
def hold_thread(ctx: Context) -> int:
    """Hold a thread until the task is released."""
    scribe.began(ctx)
    return wait_for_release(ctx)


@q.task("ask for later")
async def ask_for_later(ctx: Context, delay: float) -> None:
    """Ask for a task that is due after a while, by whatever clock this process goes by."""
    scribe.began(ctx)
    await work.using(task_id=f"later-{ctx.id}", delay=delay).enqueue()


def wait_for_release(ctx: Context) -> int:
    """Block until the task is released."""
    ends = time.monotonic() + LONGEST
    while not is_released() and time.monotonic() < ends:
        time.sleep(GLANCE)
    return ctx.lease.token


def is_released() -> bool:
    """Say whether tasks that hold may end."""
    return Path(os.environ[FOLDER], "release").exists()
