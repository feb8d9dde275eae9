"""Dramatiq."""

from threading import Event

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.peers.systems.ledger import ran
from bench.peers.systems.shapes import EMAIL, THREADS, URL, Blocking

broker = RedisBroker(url=URL)
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(n: int, email: str) -> None:  # noqa: ARG001
    ran(n)


class Dramatiq(Blocking):
    def put(self, n: int) -> None:
        noop.send(n, EMAIL)

    def work(self) -> None:
        dramatiq.Worker(broker, worker_threads=THREADS).start()
        Event().wait()


system = Dramatiq
