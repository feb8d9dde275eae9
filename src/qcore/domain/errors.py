"""The errors that qcore raises."""

from collections.abc import Sequence
from typing import Any, Final


class QcoreError(Exception):
    """Be the base of every error that qcore raises."""


class InvalidTask(QcoreError, ValueError):
    """Say which value of a task is wrong, what was expected and what to do; nothing was written."""


class InvalidOption(QcoreError, ValueError):
    """Say which setting of a client, worker, broker or URL is wrong, and what was expected."""


class CannotEncode(InvalidTask):
    """Say that a value has no form in the serializer's format."""


class CannotDecode(QcoreError, ValueError):
    """Say that stored bytes do not fit: truncated, of an unknown content type, of another shape."""


class BrokerRefused(InvalidTask):
    """Say that the store does not take what was to be written, for what is in it: it is too large.

    The same call is refused again, and other calls are not: that is no outage.
    """

    def __init__(self, message: str, answers: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.answers = answers
        """Of a batch of which a part was written: the answers to that part at their places, and
        None at the places of what was not written. Empty if nothing of it was written."""


class UnknownFormat(CannotDecode):
    """Say that stored bytes are of a content type, or have an argument, that is not known here.

    A newer version may know it: a worker puts such a task back for others.
    """


class BrokerUnavailable(QcoreError):
    """Say that the store did not answer; the same call may succeed later. Raised by links alone."""


class BrokerUnusable(QcoreError):
    """Say that the store cannot serve until somebody acts: no database, wrong schema, read-only."""


class StoreMissing(BrokerUnusable):
    """Say that there is no store, and that who asks does not make one."""


class QueueHasTasks(QcoreError):
    """Say that a queue is not removed, as it has tasks."""


class AggregationFailure(QcoreError):
    """Say that an aggregator has raised an error, or takes too long; the members wait as before."""


class ProcessDied(QcoreError):
    """Say that a handler's process ended before it answered: killed, out of memory, or a crash."""


class NoResult(QcoreError):
    """Say why a task has no result to give: it is gone, it failed for good, or it keeps none."""


RESULT_NOT_KEPT: Final = "its result cannot be kept"
"""How the stored error of a task begins whose handler has returned what cannot be kept."""


class ResultNotKept(NoResult, CannotEncode):
    """Say why a result cannot be kept: the handler has returned, and its work is done."""
