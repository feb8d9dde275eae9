"""What the API knows of tasks: that it can ask for them."""

import logging
from datetime import timedelta
from typing import Protocol

from examples.bank import tasks
from qcore.types import BlockingHandle

COMMITTED = timedelta(seconds=3)
"""How long a task waits for the transaction that enqueues it."""
ONE_AT_A_TIME = timedelta(minutes=10)
"""For how long an e-mail that still waits, or is tried again, takes the place of a second one."""

log = logging.getLogger("bank.tasks")


class TaskDistributor(Protocol):
    """Ask for what is done in the background. A test can have one that takes notes."""

    def send_verify_email(self, username: str) -> None:
        """Ask for the verification e-mail; raise `BrokerUnavailable` if it cannot be stored."""
        ...

    def send_verify_email_again(self, username: str) -> None:
        """Do so for a user that there is, unless an e-mail that was asked for so still waits."""
        ...


class QcoreTaskDistributor:
    """Ask qcore."""

    def send_verify_email(self, username: str) -> None:
        later = tasks.send_verify_email.using(delay=COMMITTED)
        note(later.enqueue_sync(username=username), username)

    def send_verify_email_again(self, username: str) -> None:
        once = tasks.send_verify_email.using(unique_for=ONE_AT_A_TIME)
        note(once.enqueue_sync(username=username), username)


def note(handle: BlockingHandle[str], username: str) -> None:
    """Log what was enqueued."""
    what = "enqueued" if handle.is_new else "waits already"
    log.info("%s: %s for %s in %s", what, handle.id, username, handle.queue)
