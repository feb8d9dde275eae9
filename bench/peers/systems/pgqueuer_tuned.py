"""pgqueuer with three consumers, each of which fetches as many tasks at a time as qcore does."""

from bench.peers.systems.pgqueuer import Pgqueuer


def system() -> Pgqueuer:
    return Pgqueuer(3, 100)
