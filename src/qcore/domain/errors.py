"""The errors that qcore raises."""


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


class BrokerUnavailable(QcoreError):
    """Say that the store did not answer; the same call may succeed later. Raised by links alone."""


class BrokerUnusable(QcoreError):
    """Say that the store cannot serve until somebody acts: no database, wrong schema, read-only."""


class NoResult(QcoreError):
    """Say why a task has no result to give: it is gone, it failed for good, or it keeps none."""
