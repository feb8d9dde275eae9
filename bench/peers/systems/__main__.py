"""What the driver starts, in a system's own environment.

- `MODULE prepare`: make what the system needs in an empty store.
- `MODULE ask WAY COUNT warm|fill`: ask for tasks; print the seconds that it took.
- `MODULE probe FIRST COUNT`: ask for tasks now and then; print when each was asked for.
- `MODULE work TASKS PROBES`: be a worker.
- `MODULE turns`: ask for as many tasks, blocking, as each line of the input says; print how long.

`MODULE` is one of this package, and has a `system()`.
"""

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module

from bench.peers.systems.probing import probe
from bench.peers.systems.producing import produce
from bench.peers.systems.shapes import System
from bench.peers.systems.turns import take_turns
from bench.peers.systems.working import work


def main() -> None:
    module, verb, *words = sys.argv[1:]

    def system() -> System:
        made: Callable[[], System] = import_module(f"bench.peers.systems.{module}").system
        return made()

    match verb, words:
        case "prepare", []:
            system().prepare()
            _say(None)
        case "ask", [way, count, how]:
            _say(produce(system(), way, range(int(count)), warm=how == "warm"))
        case "probe", [first, count]:
            _say(probe(system(), range(int(first), int(first) + int(count))))
        case "work", [tasks, probes]:
            work(system, int(tasks), int(probes))
        case "turns", []:
            take_turns(system())
        case _:
            sys.exit(__doc__)


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)
    # what a client still has open would only complain
    os._exit(0)


if __name__ == "__main__":
    main()
