"""A periodic task as a value: a schedule, a call, and the options of its entry."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict, Unpack

from attrs import evolve

from qcore.app.calls.call import Call, TaskRequest
from qcore.domain.errors import InvalidOption, InvalidTask
from qcore.domain.moments import Duration, Moment, moment_of, seconds_of
from qcore.domain.new_task import NewTask
from qcore.domain.periodic.entry import Entry, Missed, Overlap, check_name
from qcore.domain.schedules.every import Every
from qcore.domain.schedules.schedule import Schedule
from qcore.domain.schedules.texts import schedule_from
from qcore.domain.text import shown


class EntryOptions(TypedDict, total=False):
    """Options of a periodic task. Durations are seconds or timedeltas; datetimes are aware."""

    missed: Missed
    """What is made of ticks that have passed unseen: "one" task for the last of them, "all", or
    "skip", which makes one only if the last is not late by more than `grace`."""
    catch_up: int
    """With `missed="all"`: at most so many of the last ones."""
    grace: Duration
    """How late a tick may be and is still on time."""
    overlap: Overlap
    """What a tick does while the last task lives: "allow" both, "skip" the tick, "queue" it."""
    jitter: Duration
    """Up to how long after a tick its task is made."""
    start: datetime | Moment | None
    """No tick is earlier."""
    end: datetime | Moment | None
    """Every tick is earlier."""
    max_runs: int | None
    """Tasks that are made in all."""
    expires_after: Duration | None
    """How long after a tick its task may still start; else the call's option `expires`."""


_OPTIONS: Final[Mapping[str, Callable[[Any, str], Any] | None]] = {
    **dict.fromkeys(EntryOptions.__annotations__),
    **dict.fromkeys(("grace", "jitter", "expires_after"), seconds_of),
    **dict.fromkeys(("start", "end"), moment_of),
}
"""Option to how its value becomes that of the entry: None where it is the same."""


class PeriodicTask:
    """A task to be made at each tick of a schedule.

    `schedule` is a cron expression (in the zone `tz`, by default UTC), a timedelta or a number of
    seconds, or a schedule, such as a `Cron` or an `Every`. `request` is a call, `task.call(…)`, or
    a `NewTask`. `name` tells it from the others of its queue: by default it is the task's name.
    Raises `InvalidOption` for a schedule or an option that makes no sense.
    """

    def __init__(
        self,
        schedule: "str | Duration | Schedule",
        request: TaskRequest,
        *,
        name: str | None = None,
        tz: str | None = None,
        **options: Unpack[EntryOptions],
    ) -> None:
        self.schedule: Final = schedule_of(schedule, tz)
        self.request: Final = request
        self._name: Final = name
        self.fields: Final = entry_fields(options)
        # a bad name or option is refused where it is declared; the call is built when it is stored
        check_name("the name of a periodic task", self.name)
        self._entry(NewTask("?", id="?"), None)

    @property
    def name(self) -> str:
        """Return its name: that of its task, which a router that includes it may change."""
        return _name_of(self.request) if self._name is None else self._name

    def entry(self, task: NewTask, declared_by: str | None) -> Entry:
        """Return its entry; `task` is the request as it would be enqueued now."""
        if not isinstance(self.request, Call):
            return self._entry(task, declared_by)
        given = self.request.template.options
        if "task_id" in given:
            raise InvalidTask(
                f"{task.name}: task_id is {shown(given['task_id'])}: expected none, as each tick "
                "has an id of its own; the periodic task has a name"
            )
        expires = given.get("expires")
        if expires is None or isinstance(expires, datetime):
            return self._entry(task, declared_by)
        fields = {"expires_after": seconds_of(expires, "expires"), **self.fields}
        return self._entry(evolve(task, expires=None), declared_by, fields)

    def _entry(
        self, task: NewTask, declared_by: str | None, fields: Mapping[str, Any] | None = None
    ) -> Entry:
        return Entry(
            evolve(task, id=self.name),
            self.schedule.spelled(),
            declared_by=declared_by,
            **(self.fields if fields is None else fields),
        )

    def __repr__(self) -> str:
        """Show its name and when it is made."""
        return f"<PeriodicTask {self.name!r} {self.schedule.describe()}>"


def schedule_of(schedule: object, tz: str | None = None) -> Schedule:
    """Return a schedule as it may be given; raise `InvalidOption` for what is none."""
    if isinstance(schedule, str):
        return schedule_from(schedule, tz or "UTC", warn=True)
    if tz is not None:
        raise InvalidOption(f"tz is {shown(tz)}: expected none but with a cron expression")
    if isinstance(schedule, timedelta) or type(schedule) in {int, float}:
        return Every(schedule)  # type: ignore[arg-type]
    if callable(getattr(schedule, "after", None)) and callable(getattr(schedule, "spelled", None)):
        made: Any = schedule
        found: Schedule = made
        return found
    raise InvalidOption(
        f'the schedule is {shown(schedule)}: expected a cron expression such as "0 9 * * 1-5", a '
        "timedelta, or a Cron or an Every"
    )


def entry_fields(options: EntryOptions) -> dict[str, Any]:
    """Return options as fields of an `Entry`; raise `InvalidOption` for one that there is not."""
    fields: dict[str, Any] = {}
    for name, value in options.items():
        if name not in _OPTIONS:
            known = ", ".join(sorted(_OPTIONS))
            raise InvalidOption(f"there is no option {name!r}: expected one of {known}")
        convert = _OPTIONS[name]
        fields[name] = value if convert is None or value is None else convert(value, name)
    return fields


def _name_of(request: object) -> str:
    if isinstance(request, Call):
        name: str = request.template.name
        return name
    if isinstance(request, NewTask):
        return request.name
    raise InvalidTask(f"{shown(request)} is no task: expected task.call(…) or a NewTask")
