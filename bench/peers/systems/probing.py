"""Tasks for an idle worker: one now and then, by a timetable that waits for nobody."""

import asyncio
import random
import time
from collections.abc import Sequence
from time import perf_counter

from bench.peers.systems.shapes import Awaiting, Blocking, System, run

SHORTEST_GAP, LONGEST_GAP = 0.025, 0.075


class Timetable:
    """When tasks are asked for.

    The loop is open: a slow answer does not put off the next question, which counts from the
    moment it was due. One in time counts from when the sleep is over: a late timer is not the
    fault of the system measured.
    """

    def __init__(self) -> None:
        self._dice = random.Random(1)
        self._due = perf_counter()
        self._is_late = False
        self.asked: list[float] = []

    def pause(self) -> float:
        """Return the seconds to the next question."""
        self._due += self._dice.uniform(SHORTEST_GAP, LONGEST_GAP)
        pause = self._due - perf_counter()
        self._is_late = pause < 0
        return max(0.0, pause)

    def note(self) -> None:
        """Write down that the next is asked now, or that it should have been by now."""
        self.asked.append(self._due if self._is_late else perf_counter())


def probe(system: System, numbers: Sequence[int]) -> list[float]:
    """Ask for tasks of these numbers, one now and then; return when (`perf_counter`)."""
    timetable = Timetable()
    if isinstance(system, Awaiting):
        run(_awaited(system, numbers, timetable))
    else:
        assert isinstance(system, Blocking)
        _blocking(system, numbers, timetable)
    return timetable.asked


async def _awaited(system: Awaiting, numbers: Sequence[int], timetable: Timetable) -> None:
    await system.open()
    for n in numbers:
        await asyncio.sleep(timetable.pause())
        timetable.note()
        await system.send(n)


def _blocking(system: Blocking, numbers: Sequence[int], timetable: Timetable) -> None:
    for n in numbers:
        time.sleep(timetable.pause())
        timetable.note()
        system.put(n)
