"""Who gives a command, and why: said by the command itself, and told to instruments."""

import os
from collections.abc import Callable, Sequence
from getpass import getuser
from socket import gethostname
from typing import Final, TypeAlias, TypeVar

from qcore.app.client.moving import MoveTo
from qcore.domain.audit import ACTIONS, MOVE, Attributable, attributed, detail_of, reason_given
from qcore.domain.errors import InvalidOption
from qcore.domain.events import Operated
from qcore.domain.moments import Moment
from qcore.domain.new_task import TaskId
from qcore.domain.record import record
from qcore.domain.text import shown
from qcore.domain.transitions import Command

C = TypeVar("C", bound=Attributable)
Emit: TypeAlias = Callable[[Operated], None]

VARIABLE: Final = "QCORE_BY"
"""The environment variable that names the operator."""


def default_operator() -> str:
    """Return who works here: what QCORE_BY says, else user@host."""
    if named := os.environ.get(VARIABLE, "").strip():
        return named
    try:
        user = getuser()
    except (KeyError, OSError, ImportError):
        # a container may run as a number that no name belongs to
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{gethostname()}"


@record
class Attribution:
    """Who does something, and why."""

    by: str
    reason: str | None


class Auditor:
    """Has commands say by whom they are, and tells of what operators have done."""

    def __init__(self, emit: Emit | None = None, by: str | None = None) -> None:
        self._emit = emit
        self._by = by

    def attribution(self, by: str | None, reason: str | None) -> Attribution:
        """Return who does it: who is named, else who was named once for all, else user@host.

        Raises `InvalidOption` for what is no text: ask before anything is done.
        """
        if _text_or_none("by", by) is None:
            by = self._by = self._by or default_operator()
        return Attribution(by or "", _text_or_none("reason", reason))

    def attribute(self, command: C, by: str | None, reason: str | None) -> C:
        """Return a command that says by whom it is, and why; raise `InvalidOption` for no text."""
        who = self.attribution(by, reason)
        return attributed(command, who.by, who.reason)

    def tell_of_tasks(
        self, queue: str, tasks: Sequence[TaskId], command: Command | MoveTo, now: Moment
    ) -> None:
        """Tell of a command that has moved tasks."""
        if self._emit is not None and tasks:
            action, why = ACTIONS.get(type(command), MOVE), reason_given(command)
            detail = command.detail if isinstance(command, MoveTo) else detail_of(command)
            by = command.by or ""
            self._emit(Operated(now, action, queue, by, why, detail, tasks=tuple(tasks)))

    def tell(
        self,
        who: Attribution,
        action: str,
        queue: str,
        now: Moment,
        *,
        detail: str = "",
        entry: str | None = None,
    ) -> None:
        """Tell of what was done to a queue, or to an entry of a periodic task."""
        if self._emit is not None:
            self._emit(Operated(now, action, queue, who.by, who.reason, detail, entry=entry))


def _text_or_none(what: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidOption(f"{what} is {shown(value)}: expected text")
    return value
