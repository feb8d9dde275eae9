"""RQ, with the worker that does not fork for each task."""

from collections.abc import Sequence

from redis import Redis
from rq import Queue, SimpleWorker

from bench.peers.systems.ledger import ran
from bench.peers.systems.shapes import EMAIL, PORT, Blocking

connection = Redis(port=PORT)
queue = Queue(connection=connection)


def noop(n: int, email: str) -> None:  # noqa: ARG001
    ran(n)


class Rq(Blocking):
    def put(self, n: int) -> None:
        queue.enqueue(noop, n, EMAIL, result_ttl=0)

    def put_many(self, numbers: Sequence[int]) -> None:
        queue.enqueue_many([Queue.prepare_data(noop, (n, EMAIL), result_ttl=0) for n in numbers])

    def work(self) -> None:
        SimpleWorker([queue], connection=connection).work(logging_level="ERROR")


system = Rq
