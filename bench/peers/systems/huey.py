"""Huey."""

from huey import RedisHuey

from bench.peers.systems.ledger import ran
from bench.peers.systems.shapes import EMAIL, THREADS, URL, Blocking

huey = RedisHuey("bench", url=URL, results=False)


@huey.task()
def noop(n: int, email: str) -> None:  # noqa: ARG001
    ran(n)


class Huey(Blocking):
    def put(self, n: int) -> None:
        noop(n, EMAIL)

    def work(self) -> None:
        huey.create_consumer(workers=THREADS, periodic=False, check_worker_health=False).run()


system = Huey
