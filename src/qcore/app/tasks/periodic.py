"""What code declares of periodic tasks: tasks at a schedule, and providers of such."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

from qcore.app.calls.call import Call
from qcore.app.calls.introspection import is_generator
from qcore.app.calls.periodic_task import EntryOptions, PeriodicTask
from qcore.app.tasks.default_name import default_name
from qcore.app.tasks.handler import Handler
from qcore.app.tasks.interactive import is_interactive, put
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Duration, seconds_of
from qcore.domain.record import record
from qcore.domain.schedules.schedule import Schedule
from qcore.domain.text import shown

D = TypeVar("D", bound="Handler[Any, Any, Any] | Call[Any]")
Provide: TypeAlias = Callable[[], Iterable[PeriodicTask] | Awaitable[Iterable[PeriodicTask]]]
V = TypeVar("V", bound=Provide)

POLL_EVERY: Final = 60.0
"""Seconds between two calls of a provider that says nothing else."""
SHORTEST: Final = 1.0


@record
class DeclaredTask:
    """A periodic task, and the code that declares it."""

    task: PeriodicTask
    declared_by: str


@record
class Provider:
    """A function that returns the periodic tasks that there are to be now."""

    provide: Provide
    declared_by: str
    every: float
    """Seconds from one call to the next."""


class PeriodicDeclarations:
    """The periodic tasks and the providers that a router has."""

    def __init__(self) -> None:
        self.tasks: list[DeclaredTask] = []
        self.providers: list[Provider] = []
        self._names: set[tuple[str | None, str]] = set()

    def add(
        self,
        what: object,
        schedule: "str | Duration | Schedule",
        arguments: Mapping[str, Any],
        *,
        name: str | None,
        tz: str | None,
        options: EntryOptions,
    ) -> None:
        """Declare a handler, or a call of one, as periodic; raise `InvalidOption` for another."""
        call = _call_of(what, arguments)
        task = PeriodicTask(schedule, call, name=name, tz=tz, **options)
        self._append(DeclaredTask(task, _declarer_of(what, call)))

    def add_all(self, others: "PeriodicDeclarations") -> None:
        """Have those of another router, too, whose tasks may have other names by now."""
        for each in others.tasks:
            self._append(each)
        self.providers += others.providers

    def without(self, name: str) -> "PeriodicDeclarations":
        """Return these without the periodic tasks of a name."""
        others = PeriodicDeclarations()
        others.add_all(self)
        others.tasks = [each for each in others.tasks if each.task.name != name]
        return others

    def _append(self, declared: DeclaredTask) -> None:
        # two of one name in a queue would take each other's place again and again
        name = declared.task.name
        key = _queue_of(declared), name
        if key in self._names:
            if not is_interactive():
                raise InvalidOption(
                    f"{name!r} is declared as periodic already: give each a name of its own, name=…"
                )
            # a cell is run again
            self.tasks = [each for each in self.tasks if (_queue_of(each), each.task.name) != key]
        self._names.add(key)
        self.tasks.append(declared)

    def queues(self) -> list[str]:
        """Return the queues that declared tasks name as their own."""
        return [queue for each in self.tasks if (queue := _queue_of(each)) is not None]

    def add_provider(self, provide: Provide, every: Duration) -> None:
        """Declare a provider; raise `InvalidOption` for what is no function."""
        called: object = provide
        if not callable(called) or is_generator(called):
            raise InvalidOption(
                f"{shown(provide)} is no provider: expected a function, or a coroutine function, "
                "that returns a list of PeriodicTask"
            )
        seconds = seconds_of(every, "every")
        if seconds < SHORTEST:
            raise InvalidOption(f"every is {shown(every)}: expected {SHORTEST} second or more")
        put(self.providers, Provider(provide, default_name(provide), seconds), _function_of)


def _function_of(provider: Provider) -> Provide:
    return provider.provide


def _queue_of(declared: DeclaredTask) -> str | None:
    """Return the queue that a task names as its own."""
    request = declared.task.request
    return request.template.options.get("queue") if isinstance(request, Call) else request.queue


def _call_of(what: object, arguments: Mapping[str, Any]) -> Call[Any]:
    given: Any = what
    if isinstance(what, Call):
        if arguments:
            raise InvalidOption("arguments are given beside a call: expected those of the call")
        called: Call[Any] = given
        return called
    if isinstance(what, Handler):
        handler: Handler[Any, Any, Any] = given
        return handler.call(**arguments)
    raise InvalidOption(
        f"{shown(what)} is no task: @q.periodic goes above @q.task, or beside it with a call, "
        "q.periodic(…)(task.call(…))"
    )


def _declarer_of(what: object, call: Call[Any]) -> str:
    return default_name(what.function) if isinstance(what, Handler) else call.template.name
