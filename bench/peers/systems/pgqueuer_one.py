"""pgqueuer as it comes, with one consumer."""

from bench.peers.systems.pgqueuer import Pgqueuer


def system() -> Pgqueuer:
    return Pgqueuer(1)
