"""Who listens to the memory broker."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TypeAlias

from qcore.domain.new_task import TaskId
from qcore.ports import Lost, Told

Heard: TypeAlias = Callable[[], None]


class Ears:
    """All who listen, and what they want to hear of which queues."""

    def __init__(self) -> None:
        self._ears: list[Ear] = []

    def add(
        self,
        queues: Sequence[str],
        *,
        heard: Heard | None = None,
        lost: Lost | None = None,
        told: Told | None = None,
    ) -> "Ear":
        """Return a new listener."""
        ear = Ear(frozenset(queues), heard, lost, told, self._ears)
        self._ears.append(ear)
        return ear

    def hear(self, queues: Iterable[str]) -> None:
        """Tell that queues have something new to claim or to wait for."""
        for ear in tuple(self._ears):
            if ear.heard is not None and not ear.queues.isdisjoint(queues):
                ear.heard()

    def lose(self, queue: str, tokens: Sequence[int]) -> None:
        """Tell of leases that were ended."""
        for ear in tuple(self._ears):
            if ear.lost is not None and queue in ear.queues:
                # one whose loop has ended must not fail what has been done
                with suppress(RuntimeError):
                    for token in tokens:
                        ear.lost(queue, token)

    def tell(self, news: Mapping[str, Sequence[TaskId]]) -> None:
        """Tell which tasks have news."""
        for ear in tuple(self._ears):
            for queue in ear.queues.intersection(news):
                if ear.told is not None:
                    with suppress(RuntimeError):
                        ear.told(queue, news[queue])


class Ear:
    """A listener."""

    def __init__(
        self,
        queues: frozenset[str],
        heard: Heard | None,
        lost: Lost | None,
        told: Told | None,
        among: "list[Ear]",
    ) -> None:
        self.queues = queues
        self.heard = heard
        self.lost = lost
        self.told = told
        self._among = among

    async def close(self) -> None:
        """Stop listening."""
        if self in self._among:
            self._among.remove(self)
