"""taskiq, with a Redis stream."""

from taskiq_redis import RedisStreamBroker

from bench.peers.systems.shapes import URL
from bench.peers.systems.taskiq import Taskiq


def system() -> Taskiq:
    return Taskiq(RedisStreamBroker(URL))
