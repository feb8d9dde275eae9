"""A side that asks for tasks in turn with others: so many whenever it is told to."""

import json
import sys
from time import perf_counter, process_time

from bench.peers.systems.shapes import Blocking, System


def take_turns(system: System) -> None:
    """Ask for as many as each line says; print the seconds on the clock and of the processor."""
    assert isinstance(system, Blocking)
    first = 0
    for line in sys.stdin:
        count = int(line)
        began, worked = perf_counter(), process_time()
        for n in range(first, first + count):
            system.put(n)
        print(json.dumps([perf_counter() - began, process_time() - worked]), flush=True)
        first += count
