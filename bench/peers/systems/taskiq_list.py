"""taskiq, with a Redis list."""

from taskiq_redis import ListQueueBroker

from bench.peers.systems.shapes import URL
from bench.peers.systems.taskiq import Taskiq


def system() -> Taskiq:
    return Taskiq(ListQueueBroker(URL))
