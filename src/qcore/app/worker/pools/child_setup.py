"""What each child process does first.

Apart from the rest, which loads `multiprocessing`: a worker without handlers in processes has no
use for that.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

preparations: Final[list[Callable[[], object]]] = []
"""Functions that a child process calls as it starts."""


@contextmanager
def prepared_children(prepare: Callable[[], object]) -> Generator[None, None, None]:
    """Have every child process that is started within the block call a function first.

    What sets up the worker's own process, such as its log, has to set up the children too. The
    function is pickled.
    """
    preparations.append(prepare)
    try:
        yield
    finally:
        preparations.remove(prepare)
