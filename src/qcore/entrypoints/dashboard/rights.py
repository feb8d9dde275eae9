"""What a visitor may do: rights by action and queue."""

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Final, Self, TypeAlias, cast

from qcore.app.client.qualifiers import QUEUE
from qcore.app.client.queries import Query
from qcore.app.client.query_terms import STAR, Term, Word, is_like
from qcore.domain.errors import InvalidOption
from qcore.domain.record import record
from qcore.domain.text import shown


class Right(StrEnum):
    """An action; each route of the dashboard declares the one that it needs."""

    ANYBODY = "anybody"
    """Needs no login: the login itself, and files of the dashboard that say nothing of a store."""
    VISITOR = "visitor"
    """Needs a login and nothing more: how pages look."""
    QUEUE_READ = "queue.read"
    QUEUE_PAUSE = "queue.pause"
    """Pause and resume a queue."""
    QUEUE_LIMIT = "queue.limit"
    QUEUE_REMOVE = "queue.remove"
    TASK_READ = "task.read"
    TASK_MOVE = "task.move"
    """Run, reschedule, discard, bring back, cancel tasks."""
    TASK_DELETE = "task.delete"
    TASK_EDIT = "task.edit"
    """Change arguments and options of tasks that wait."""
    TASK_ENQUEUE = "task.enqueue"
    WORKER_READ = "worker.read"
    PERIODIC_READ = "periodic.read"
    PERIODIC_MOVE = "periodic.move"
    """Run, pause, resume, remove entries of periodic tasks."""
    GROUP_READ = "group.read"
    GROUP_MOVE = "group.move"
    STORE_EXAMINE = "store.examine"
    """Have the doctor examine the store, which all queues share."""

    @property
    def needed(self) -> "Collection[Right]":
        """Return the right itself, and that to see what it changes: `task.read` for `task.move`.

        Pages that ask before they change something show it.
        """
        read = f"{self.partition('.')[0]}.read"
        return {self, Right(read)} if read in _VALUES else {self}


_VALUES: Final = frozenset(map(str, Right))
FREE: Final = frozenset({Right.ANYBODY, Right.VISITOR})
"""Rights that everybody has who is let in."""
STORE_WIDE: Final = frozenset({Right.STORE_EXAMINE})
"""Rights that nobody has for some queues alone."""
GRANTABLE: Final = tuple(right for right in Right if right not in FREE)
EVERY_QUEUE: Final = (STAR,)
EXPECTED: Final = (
    "expected ALL, READ_ONLY, None, or rights such as {'*.read', 'task.move@mail*'}, with actions "
    f"of {', '.join(GRANTABLE)}"
)


@record
class Grant:
    """An action, or several by a pattern, for the queues that have a name or a pattern."""

    action: str
    queue: str = STAR

    @classmethod
    def of(cls, text: object) -> Self:
        """Return the grant of a text such as "task.move@mail*".

        Raises `InvalidOption` for what names no action.
        """
        if isinstance(text, str):
            action, at, queue = text.partition("@")
            if any(map(cls(action).has, GRANTABLE)) and (queue or not at):
                return cls(action, queue or STAR)
        raise InvalidOption(f"a right is {shown(text)}: {EXPECTED}")

    def has(self, right: Right) -> bool:
        """Return whether it is for an action."""
        return _is_like(right, self.action)

    def is_for(self, queue: str) -> bool:
        """Return whether it is for a queue."""
        return _is_like(queue, self.queue)


def _is_like(text: str, pattern: str) -> bool:
    # the star alone first: a page asks for a right of each queue, of which there may be thousands
    return pattern == STAR or is_like(text, tuple(pattern.split(STAR)))


@record
class Rights:
    """What somebody may do, and in which queues."""

    grants: tuple[Grant, ...] = ()

    @classmethod
    def of(cls, given: object) -> "Rights":
        """Return the rights of texts such as {"*.read", "task.move@mail*"}.

        An action may have stars, and so may the name of a queue after "@"; without one the right is
        for all queues. Raises `InvalidOption` for what is none.
        """
        if isinstance(given, Rights):
            return given
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise InvalidOption(f"the rights are {shown(given)}: {EXPECTED}")
        return cls(tuple(Grant.of(each) for each in cast("Iterable[object]", given)))

    def may(self, right: Right, queue: str | None = None) -> bool:
        """Return whether they have a right: for a queue, or without one for some queue at least.

        To change something needs the right to see it as well.
        """
        if right in FREE:
            return True
        if right in STORE_WIDE:
            return self.may_everywhere(right)
        return all(self._grants(each, queue) for each in right.needed)

    def may_everywhere(self, right: Right) -> bool:
        """Return whether they have a right for every queue that there is, or will be."""
        return all(STAR in self._queues(each) for each in right.needed)

    def query(self, right: Right) -> Query:
        """Return the query for the tasks in those queues; with `&` it narrows any other."""
        query = Query()
        for each in sorted(right.needed):
            query &= self._query(each)
        return query

    def _grants(self, right: Right, queue: str | None) -> bool:
        return any(
            each.has(right) and (queue is None or each.is_for(queue)) for each in self.grants
        )

    def _queues(self, right: Right) -> Collection[str]:
        """Return names and patterns of the queues for which they are granted a right."""
        return {each.queue for each in self.grants if each.has(right)}

    def _query(self, right: Right) -> Query:
        queues = self._queues(right)
        if STAR in queues:
            return Query()
        words = [Word(each, is_quoted=STAR not in each) for each in sorted(queues)]
        return Query((Term(QUEUE, tuple(words or [NO_QUEUE])),))


NO_QUEUE: Final = Word("", is_quoted=True)
"""Stands for no queue: none has an empty name."""
ALL: Final = Rights.of(["*"])
READ_ONLY: Final = Rights.of(["*.read"])


@record
class Visitor:
    """Who asks for a page: rights, and a name that the audit tells."""

    rights: Rights
    name: str = "anonymous"

    def may(self, right: Right, queue: str | None = None) -> bool:
        """Return whether the visitor has a right; see `Rights.may`."""
        return self.rights.may(right, queue)


Admitted: TypeAlias = Visitor | Rights | Collection[str] | None
"""What the callback of a host application returns."""
MAX_NAME: Final = 100


def visitor_of(given: object) -> Visitor | None:
    """Return what a callback has returned as a visitor; raise `InvalidOption` for what is none."""
    if given is None or isinstance(given, Visitor):
        return given
    return Visitor(Rights.of(given))
