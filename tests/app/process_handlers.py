"""Handlers that run in child processes: these must be importable there."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from qcore import (
    Context,
    InvalidTask,
    NewTask,
    Qcore,
    RateLimited,
    Retry,
    Revoke,
    SkipRetry,
    Snooze,
)
from qcore.domain.control import ControlFlow
from tests.app.kit import Lab


@attrs.define
class Job:
    path: str
    times: int = 1


class Unportable(Exception):
    """An error that cannot be made again from its own arguments."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class Portable(Exception):
    pass


class Unreadable:
    """A value that can be sent, but not read."""

    def __reduce__(self) -> tuple[object, ...]:
        return _burst, ()


def _burst() -> None:
    raise ValueError("unreadable")


def pid(ctx: Context) -> int:
    """Return which process this is."""
    return os.getpid()


def about(ctx: Context, job: Job) -> list[object]:
    """Return what this process knows of its task."""
    about = [ctx.id, ctx.name, ctx.worker, ctx.attempt, ctx.lease.token, dict(ctx.headers)]
    return [*about, job.path]


CONTROL_FLOW: Final[Mapping[str, ControlFlow]] = {
    "skip": SkipRetry("never again"),
    "revoke": Revoke(),
    "snooze": Snooze(delay=100),
    "snooze until": Snooze(at=2_000_000_000.0),
    "rate limited": RateLimited("100"),
    "retry": Retry("soon", delay=7),
}


def fail(ctx: Context, how: str) -> None:
    """Raise."""
    match how:
        case "portable":
            raise Portable("it broke")
        case "unportable":
            raise Unportable("this", "that")
        case "exit":
            sys.exit("bye")
        case _:
            raise CONTROL_FLOW[how]


def return_lambda(ctx: Context) -> object:
    """Return what cannot be sent."""
    return lambda: None


def return_unreadable(ctx: Context) -> object:
    """Return what cannot be read."""
    return Unreadable()


def kill_itself(ctx: Context) -> None:
    """Die as of a lack of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def leave(ctx: Context) -> None:
    """Die as a C library may."""
    os._exit(3)


def kill_itself_once(ctx: Context) -> int:
    """Die in the first run."""
    if ctx.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return ctx.attempt


def hang(ctx: Context, path: str) -> None:
    """Say which process this is, and never end."""
    Path(path).write_bytes(pickle.dumps(os.getpid()))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)


def hang_in_a_child(ctx: Context, path: str) -> None:
    """Start a process, say which it is, and wait for it."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(path).write_text(str(child.pid))
    child.wait()


def wait_for(ctx: Context, path: str) -> str:
    """Say which process this is, and wait for a file."""
    Path(path).write_text(str(os.getpid()))
    while not Path(path).with_suffix(".go").exists():
        time.sleep(0.01)
    return "done"


q = Qcore("memory://", instruments=())
"""A queue of this module's own, which its child processes have too."""


@q.task("child", queue="children", delay=1000)
def child(ctx: Context, number: int) -> None:
    """Do nothing."""


@q.task("follow", process=True)
def follow(ctx: Context, number: int) -> None:
    """Ask for what is to be done next."""
    for each in range(number):
        ctx.then(child.call(each))


@q.task("wrong", process=True)
def follow_wrongly(ctx: Context) -> None:
    """Ask for what cannot be."""
    ctx.then(child.call(number="no number"))  # type: ignore[arg-type]


def follow_nobody(ctx: Context) -> None:
    """Ask without a queue to belong to."""
    ctx.then(NewTask("child", id="c"))


def resume(ctx: Context) -> list[str]:
    """Say and save something; return what it found, before and after, and what was refused."""
    before = ctx.saved_sync()
    ctx.progress(0.5, "in a process")
    ctx.save_sync(b"half")
    try:
        ctx.save_sync("text")  # type: ignore[arg-type]
    except InvalidTask as error:
        return [repr(before), repr(ctx.saved_sync()), type(error).__name__]
    return []


def say_nonsense(ctx: Context) -> None:
    """Say of its progress what cannot be."""
    ctx.progress(2)


def register(lab: Lab) -> Lab:
    """Give a queue all of these handlers, by their own names."""
    for function in (
        pid,
        about,
        fail,
        return_lambda,
        return_unreadable,
        kill_itself,
        leave,
        kill_itself_once,
        hang,
        resume,
        say_nonsense,
    ):
        lab.route(function.__name__, function, process=True)
    return lab
