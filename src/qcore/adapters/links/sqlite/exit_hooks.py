"""Functions that are called when the process ends, also where `atexit` does not hear of it.

A child that `multiprocessing` has forked ends by `os._exit`. It calls the finalizers that were
registered with `multiprocessing.util` in the child itself: those of its parent it forgets.
"""

import atexit
import os
import sys
from collections.abc import Callable
from typing import Final

_hooks: Final[list[Callable[[], None]]] = []
_children: Final[set[int]] = set()
"""This process, and those it was forked from, where the hooks were registered as finalizers."""


def register(hook: Callable[[], None]) -> Callable[[], None]:
    """Call a function when the process ends: here, and in each child in which `use_here` is."""
    _hooks.append(hook)
    return atexit.register(hook)


def use_here() -> None:
    """Have the hooks called at the end of this process, if it is a child of `multiprocessing`."""
    # it is loaded where it has started this process, and need not be loaded elsewhere
    util, process = (sys.modules.get(f"multiprocessing.{name}") for name in ("util", "process"))
    if util is None or process is None or process.parent_process() is None:
        return
    if os.getpid() not in _children:
        _children.add(os.getpid())
        for hook in _hooks:
            util.Finalize(None, hook, exitpriority=0)
