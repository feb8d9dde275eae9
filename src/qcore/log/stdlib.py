"""Lines for `logging` of the standard library: text for a formatter, fields for one that has them.

A formatter such as `%(levelname)s %(message)s` shows a message alone, so the fields are in it, as
`key='value'`; they are attributes of the record too, for one that writes JSON.
"""

import logging
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from structlog.typing import EventDict

LEVELS: Final = {**logging.getLevelNamesMapping(), "EXCEPTION": logging.ERROR}
TAKEN: Final = {*vars(logging.makeLogRecord({})), "message", "asctime"}
"""Attributes that a record has by itself: a field of such a name is in the message alone."""


def has_handlers(name: str) -> bool:
    """Return whether anybody has said what is to become of a logger's records."""
    return logging.getLogger(name).hasHandlers()


def write(name: str, method: str, event: "EventDict") -> None:
    """Log an event of structlog: `method` is its level, or "exception"."""
    logger, level = logging.getLogger(name), LEVELS.get(method.upper(), logging.INFO)
    if not logger.isEnabledFor(level):
        return
    exc_info: Any = event.pop("exc_info", method == "exception")
    stack = event.pop("stack", None)
    logger.log(level, _message(event, stack), exc_info=exc_info, extra=_extra(event))


def _message(event: "EventDict", stack: object) -> str:
    fields = (f"{name}={value!r}" for name, value in event.items() if name != "event")
    line = " ".join((f"{event.get('event')}", *fields))
    return line if stack is None else f"{line}\n{stack}"


def _extra(event: "EventDict") -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in TAKEN and name != "event"}
