"""What the API knows of tasks: that it can ask for them."""

import logging
from datetime import timedelta
from typing import Protocol

from examples.bank import tasks

COMMITTED = timedelta(seconds=3)
"""How long a task waits for the transaction that enqueues it."""

log = logging.getLogger("bank.tasks")


class TaskDistributor(Protocol):
    """Ask for what is done in the background. A test can have one that takes notes."""

    def send_verify_email(self, username: str) -> None:
        """Ask for the verification e-mail; raise `BrokerUnavailable` if it cannot be stored."""
        ...


class QcoreTaskDistributor:
    """Ask qcore."""

    def send_verify_email(self, username: str) -> None:
        later = tasks.send_verify_email.using(delay=COMMITTED)
        handle = later.enqueue_sync(username=username)
        log.info("enqueued %s for %s in %s", handle.id, username, handle.queue)
