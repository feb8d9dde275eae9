"""A process that forks with a broker in use, as a web server that loads its application first does.

`python -m tests.adapters.redis_forks URL`: it and its child enqueue at the same time, and then once
more when the child has cut all connections. It ends with an error unless each of both is told of
each of its tasks that it is new.
"""

import os
import sys

from qcore.adapters.redis import RedisBroker
from qcore.domain.answers import Enqueued
from qcore.testing.builders import NOW, a_task
from qcore.testing.contract.base import step
from tests.adapters.redis_kit import broker_at

EACH = 50


def main(url: str) -> int:
    """Return how many of the two processes went wrong."""
    broker = broker_at(url).blocking()
    assert enqueue(broker, "before")
    child = os.fork()
    who = "parent" if child else "child"
    news = [enqueue(broker, f"{who}-{n}") for n in range(EACH)]
    if child:
        _, status = os.waitpid(child, 0)
        news.append(enqueue(broker, f"{who}-{EACH}"))
        step(broker.close())
        return (not all(news)) + os.waitstatus_to_exitcode(status)
    news.append(enqueue(broker, f"{who}-{EACH}"))
    step(broker.link.command("CLIENT", "KILL", "TYPE", "normal"))
    step(broker.close())
    # without what the interpreter would do at the end of the parent
    os._exit(not all(news))


def enqueue(broker: RedisBroker, name: str) -> bool:
    """Enqueue a task; return whether it is new."""
    (answer,) = step(broker.enqueue([a_task(id=name)], now=NOW))
    return isinstance(answer, Enqueued)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
