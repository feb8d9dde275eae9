"""What a rule finds, and the alert that is made of it."""

from typing import Any

from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.entrypoints.written_times import timestamp


@record
class Finding:
    """Something that a rule has found wrong in a queue."""

    queue: str
    text: str
    """A sentence that says it."""
    value: float
    """What was measured: a number of tasks, or seconds."""
    bound: float
    """What it should not have passed."""
    command: str = ""
    """What shows more of it in a terminal."""
    subject: str = ""
    """What it is about where a queue has several, such as a periodic task."""


@record
class Alert:
    """What is told: that something is wrong, or that it is over."""

    rule: str
    """The name of the rule that has found it."""
    queue: str
    environment: str
    since: Moment
    """When it was first found."""
    at: Moment
    """When this was decided: of two alerts about the same, the later one counts."""
    is_over: bool
    text: str
    value: float
    bound: float
    command: str = ""
    subject: str = ""

    def body(self) -> dict[str, Any]:
        """Return it as it is sent: moments are RFC 3339 in UTC."""
        return {
            "version": 1,
            "rule": self.rule,
            "queue": self.queue,
            "subject": self.subject,
            "environment": self.environment,
            "since": timestamp(self.since),
            "at": timestamp(self.at),
            "is_over": self.is_over,
            "text": self.text,
            "value": self.value,
            "bound": self.bound,
            "command": self.command,
        }
