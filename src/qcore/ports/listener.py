"""What hears of news at a broker: its callbacks, and how to stop it."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from qcore.domain.new_task import TaskId

Lost: TypeAlias = Callable[[str, int], None]
"""To be told of a lease that has ended, by its queue and its token."""


Told: TypeAlias = Callable[[str, Sequence[TaskId]], None]
"""To be told of tasks that have news, by their queue and their ids; with none of them: any may."""


class Listener(Protocol):
    """An ear at a broker."""

    async def close(self) -> None:
        """Stop listening."""
        ...
