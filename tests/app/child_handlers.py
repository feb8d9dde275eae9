"""Handlers that leave something behind in their child process, or start processes themselves."""

import decimal
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from structlog.contextvars import bind_contextvars, get_contextvars

from qcore import Context
from qcore.errors import QcoreError

variable: Final[ContextVar[str]] = ContextVar("variable", default="unset")
set_by_import: Final[ContextVar[str]] = ContextVar("set_by_import", default="unset")
set_by_import.set("set")
decimal.getcontext().prec = 11

SLEEP: Final = "import time; time.sleep(600)"


def leave_things_behind(ctx: Context) -> list[object]:
    """Return what is found of what this handler leaves behind."""
    found = [variable.get(), set_by_import.get(), get_contextvars(), decimal.getcontext().prec]
    found.append(callable(signal.getsignal(signal.SIGTERM)))
    found.append(len(signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])))
    variable.set("left")
    set_by_import.set("left")
    bind_contextvars(left="behind")
    decimal.getcontext().prec = 3
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(1)
    return found


def terminate_others(ctx: Context) -> list[int | None]:
    """Return how a program, a process and the workers of a pool end when they are terminated."""
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as program:
        program.terminate()
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    forked.start()
    forked.terminate()
    forked.join()
    return [program.returncode, forked.exitcode]


def square(number: int) -> int:
    """Return the square of a number."""
    return number * number


def use_pools(ctx: Context) -> list[list[int]]:
    """Return squares that other processes have computed."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        squares = [pool.map(square, [1, 2, 3])]
    with ProcessPoolExecutor(2) as executor:
        squares.append(list(executor.map(square, [1, 2, 3])))
    return squares


def fork(ctx: Context, how: str) -> int:
    """Return how a process ended that came back to where this handler was called."""
    forked = os.fork()
    if forked:
        return os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])
    match how:
        case "exits":
            sys.exit(7)
        case "raises":
            sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
            raise ValueError(how)
        case "reports":
            try:
                ctx.save_sync(b"of the fork")
            except QcoreError:
                sys.exit(8)
    return 9


def fork_while_saving(ctx: Context) -> list[int]:
    """Fork again and again while a thread speaks to the worker."""
    thread = threading.Thread(target=lambda: [ctx.save_sync(b"x") for _ in range(200)])
    thread.start()
    ends = [fork(ctx, "reports") for _ in range(5)]
    thread.join()
    return ends


def crash_with_company(ctx: Context, path: str) -> None:
    """Start a process and a program, say which, and be killed."""
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    forked.start()
    os.system(f"sleep 600 & echo $! > {path}.program")  # noqa: S605
    Path(path).write_text(str(forked.pid))
    os.kill(os.getpid(), signal.SIGKILL)


def crash_at_a_signal_without_a_name(ctx: Context) -> None:
    """End by a signal that Python has no name for."""
    os.kill(os.getpid(), signal.SIGRTMIN + 1)


def print_something(ctx: Context) -> int:
    """Write to standard output without a line's end; return how much there is on its input."""
    sys.stdout.write("from a child")
    return len(sys.stdin.read())
