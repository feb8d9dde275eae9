"""What the tasks do. It knows a store and a mailer, and of qcore only how to give up."""

from email.message import EmailMessage

from examples.bank import messages
from examples.bank.database import Store
from examples.bank.mail import Mailer, MailRefused
from examples.bank.periods import Period
from qcore import SkipRetry


class TaskProcessor:
    """Do what tasks ask for. Whatever else is raised here is tried again, as `tasks.py` says."""

    def __init__(self, store: Store, mailer: Mailer) -> None:
        self._store = store
        self._mailer = mailer

    def send_verify_email(self, task_id: str, username: str) -> str:
        """Send the user the link that verifies their address, and return what came of it."""
        # a database that is away raises its own error here, and the task is tried again
        user = self._store.user(username)
        if user is None:
            raise SkipRetry(f"there is no user {username!r}")
        if user.is_verified:
            return "verified already"
        self._deliver(messages.verification(user), task_id)
        return f"sent to {user.email}"

    def send_report(self, task_id: str, period: Period) -> str:
        """Send the office the figures of a period, and return what came of it."""
        figures = self._store.sign_ups(period.start, period.end)
        self._deliver(messages.report(period, figures), task_id)
        return f"{period.name}: {figures.users} new users"

    def _deliver(self, message: EmailMessage, task_id: str) -> None:
        """Send a message under the task's id, so that a mailbox can tell a second copy.

        There may be one: a worker can be lost after the server took the message.
        """
        message["Message-ID"] = f"<{task_id}@bank.example.com>"
        try:
            self._mailer.send(message)
        except MailRefused as refusal:
            raise SkipRetry(str(refusal)) from refusal
