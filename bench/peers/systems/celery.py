"""Celery, with its solo pool: the fastest of its pools for tasks that do nothing."""

from celery import Celery

from bench.peers.systems.ledger import ran
from bench.peers.systems.shapes import EMAIL, URL, Blocking

app = Celery("bench", broker=URL)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
)
QUIET = ("--loglevel=ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat")


@app.task(name="noop")
def noop(n: int, email: str) -> None:  # noqa: ARG001
    ran(n)


class CeleryApp(Blocking):
    def put(self, n: int) -> None:
        noop.apply_async((n, EMAIL))

    def work(self) -> None:
        app.worker_main(["worker", "--pool=solo", *QUIET])


system = CeleryApp
