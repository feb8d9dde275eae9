"""Options of tasks that have no column of their own in a database: one JSON object for them all.

A column each would cost every task, even as NULL.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

from msgspec import DecodeError, defstruct, json

from qcore.domain.new_task import NewTask
from qcore.domain.task_fields import TaskField, default_test

MAX_SHOWN: Final = 60
"""Characters of an unreadable value that an error message shows."""


class Unreadable(ValueError):
    """A row cannot be decoded as a task; the message says why."""


def abbreviated(value: object) -> str:
    """Return the repr of a value, cut off after `MAX_SHOWN` characters."""
    if isinstance(value, str | bytes) and len(value) > MAX_SHOWN:
        return f"{value[:MAX_SHOWN]!r}…"
    return repr(value)


class StoredOptions:
    """Fields of a task in a column; one that has its default is left out of the JSON.

    One that a newer qcore has stored and this one does not know is ignored. It is lost when this
    one changes another of the same task.
    """

    def __init__(self, column: str, fields: Sequence[TaskField]) -> None:
        self._column = column
        self._form: Any = defstruct(
            "StoredOptions",
            [
                (each.name, dict[str, str] if each.name == "headers" else each.type, each.default)
                for each in fields
            ],
            frozen=True,
            omit_defaults=True,
        )
        self.none: Final[Any] = self._form()
        """What is read where nothing is stored."""
        self._values = attrgetter(*(each.name for each in fields))
        self._decode = json.Decoder(self._form).decode
        self.has_defaults = default_test(fields)
        """Return whether a task has the defaults of all of these options."""

    def encode(self, task: NewTask) -> str | None:
        """Return the value of the column; None where all have their defaults."""
        if self.has_defaults(task):
            return None
        return json.encode(self._form(*self._values(task))).decode()

    def decode(self, text: str | None) -> Any:
        """Return the stored options; raise `Unreadable` where they are no such JSON."""
        if not text:
            return self.none
        try:
            return self._decode(text)
        except (DecodeError, RecursionError):
            raise Unreadable(f"{self._column} is {abbreviated(text)}") from None

    def decode_leniently(self, text: str | None) -> Any:
        """Return the stored options, or the defaults where they cannot be decoded."""
        try:
            return self.decode(text)
        except Unreadable:
            return self.none
