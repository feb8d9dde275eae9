"""Show Prometheus how long the next task of each queue has been due: what workers are scaled by.

`python waiting_time.py [PORT]`. QCORE_URL says where tasks wait.
"""

import asyncio
import signal
import sys

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from qcore import BrokerUnavailable, Qcore, State

PORT = 9_000
INTERVAL = 15.0
"""Seconds between two looks."""

registry = CollectorRegistry()
waiting = Gauge(
    "qcore_waiting_seconds", "How long the next task has been due.", ["queue"], registry=registry
)


async def waiting_time(q: Qcore, queue: str) -> float:
    """Return for how many seconds the next task of a queue has been due, 0 if there is none."""
    page = await q.inspector.browse(queue, State.PENDING, limit=1)
    return max((q.clock.now() - task.due for task in page.tasks), default=0.0)


async def look(q: Qcore) -> None:
    """Measure all queues; those that are gone are shown no more."""
    times = {queue: await waiting_time(q, queue) for queue in await q.inspector.counts()}
    waiting.clear()
    for queue, seconds in times.items():
        waiting.labels(queue).set(seconds)


async def main(port: int) -> None:
    """Look now and then, until the process is ended."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sys.exit)
    start_http_server(port, registry=registry)
    async with Qcore() as q:
        while True:
            try:
                await look(q)
            except BrokerUnavailable as error:
                # a store that is away says nothing: an autoscaler leaves things as they are
                waiting.clear()
                print(error, file=sys.stderr)
            await asyncio.sleep(INTERVAL)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else PORT))
