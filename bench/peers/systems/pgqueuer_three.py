"""pgqueuer with three consumers."""

from bench.peers.systems.pgqueuer import Pgqueuer


def system() -> Pgqueuer:
    return Pgqueuer(3)
