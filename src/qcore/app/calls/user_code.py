"""Where code of users is called: whatever it raises is a failure of that piece alone.

A hook, a retry curve, an instrument, a lifespan or a `__repr__` may raise what is no `Exception`: a
`SystemExit` would end the worker, a `CancelledError` or `GeneratorExit` the coroutine that settles
a task. So whoever calls such code catches `BaseException` and passes it to one of the functions
here, which raise again only what came from outside: Ctrl-C, the cancellation of the asyncio task
that calls, and the end of its coroutine when its loop is gone.
"""

import asyncio
import signal
import threading
from contextlib import suppress
from typing import Final, NoReturn

from qcore.domain.error_groups import is_a, is_readable
from qcore.domain.errors import CannotEncode, InvalidTask
from qcore.domain.retry import described
from qcore.domain.text import shown, traceback_of
from qcore.log.logger import get_logger

MAX_NAME: Final = 200


def is_ctrl_c(error: BaseException) -> bool:
    """Return whether it is a `KeyboardInterrupt` that somebody's Ctrl-C raised.

    `asyncio.Runner` cancels the main task at the first Ctrl-C and raises at the second. Without it,
    Python's own handler raises wherever the main thread is, which looks as if the code there had.
    """
    if not is_a(error, KeyboardInterrupt) or not _is_main_thread():
        return False
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        return True
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_name == "_on_sigint"


def reraise_ctrl_c(error: BaseException) -> None:
    """Raise Ctrl-C again; anything else is the doing of the code that was called."""
    if is_ctrl_c(error):
        raise error


def is_from_outside(error: BaseException) -> bool:
    """Return whether an error came to code that awaits, rather than out of it."""
    if is_a(error, asyncio.CancelledError):
        task = _current_task()
        return task is not None and task.cancelling() > 0
    if is_a(error, GeneratorExit):
        return _current_task() is None
    return is_ctrl_c(error)


def log_failure(error: BaseException, event: str, code: object, **facts: object) -> None:
    """Log what code of a user raised, with its name; raise Ctrl-C again."""
    reraise_ctrl_c(error)
    # the log itself may be what failed, as with a closed pipe
    with suppress(BaseException):
        log = get_logger().bind(code=name_of(code), **facts)
        # as text: a renderer that is given the error may show the variables of each frame
        log.error(event, error=described(error), stack=traceback_of(error))


def refusal(task: str, error: BaseException) -> InvalidTask:
    """Return the error for a task whose arguments or options raise something when they are asked.

    Raises Ctrl-C again.
    """
    reraise_ctrl_c(error)
    return InvalidTask(
        f"{task}: an argument or an option raised {described(error)} when it was looked at: give "
        "plain data, or a class that can be encoded"
    )


def raise_naming(task: str, error: CannotEncode) -> NoReturn:
    """Raise an error about an argument of a task, with the task's name in front."""
    if str(error).startswith(f"{task}: "):
        raise error
    raise CannotEncode(f"{task}: {error}") from error.__cause__


def as_exception(error: BaseException, who: str) -> Exception:
    """Return an error that ends no event loop and no task: itself if it is an `Exception`."""
    if isinstance(error, Exception) and is_readable(error):
        return error
    made = RuntimeError(f"{who} raised {described(error)}")
    made.__cause__ = error
    return made


def name_of(code: object) -> str:
    """Return what the user calls a piece of code: its module and name, or how it shows itself."""
    with suppress(BaseException):
        name = getattr(code, "__qualname__", None)
        if isinstance(name, str):
            return f"{getattr(code, '__module__', None) or ''}.{name}".lstrip(".")
    return shown(code, MAX_NAME)


def _current_task() -> "asyncio.Task[object] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:
        # no loop runs in this thread
        return None


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
