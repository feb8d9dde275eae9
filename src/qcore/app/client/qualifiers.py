"""The qualifiers of a query: what each asks of a task, and what it takes as a value."""

import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final, TypeAlias, cast

from qcore.app.calls.chain_steps import STATES_OF, ChainState, chain_state
from qcore.app.client.query_terms import Term, Word, is_like
from qcore.domain.fingerprints import FINGERPRINT, common_part, fingerprint
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.domain.schedules.every import UNITS
from qcore.domain.states import State
from qcore.domain.task import Task

ReadPayload: TypeAlias = Callable[[Task], Any]
"""Return a task's arguments as plain data; its payload as bytes where it cannot be decoded."""


class Subject:
    """A task of which a query is asked; its payload is decoded once, when that is needed."""

    __slots__ = ("_data", "_read", "now", "task")

    def __init__(self, task: Task, now: Moment, read: ReadPayload) -> None:
        self.task = task
        self.now = now
        self._read = read
        self._data: tuple[Any] | None = None

    @property
    def data(self) -> Any:
        """Return its arguments as plain data, or its payload as bytes."""
        if self._data is None:
            self._data = (self._read(self.task),)
        return self._data[0]


Test: TypeAlias = Callable[[Subject], bool]


class Unfit(Exception):
    """A word is no value of its qualifier; the text is what was expected."""


@record
class Qualifier:
    """What a term of this name asks of a task."""

    test: Callable[[Word, tuple[Word, ...]], Test]
    """Return the test that a word stands for; raise `Unfit` if it stands for none."""
    cost: int = 0
    """Tests that cost more are made later."""


_COMPARED: Final = re.compile(r"(>=|<=|>|<)(.*)", re.DOTALL)
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_NUMBERS: Final = {int, float}
_PLACE: Final = re.compile(r"[0-9]{1,9}")
_NUMBER: Final = re.compile(r"-?[0-9]{1,300}(\.[0-9]{1,300})?")
_PART: Final = re.compile(rf"([0-9]{{1,12}}(?:\.[0-9]{{1,6}})?)({'|'.join(('ms', *'dhms'))})")
_SPAN: Final = re.compile(rf"(?:{_PART.pattern})+")
DURATION: Final = "2h, 30m or 1d12h"
MOMENT: Final = "2026-11-30T08:00Z"


def _state(word: Word, _: tuple[Word, ...]) -> Test:
    if word.text not in VALUES[STATE]:
        raise Unfit(f"one of {', '.join(VALUES[STATE])}")
    state = State(word.text)
    return lambda subject: subject.task.state is state


def chains_of(word: Word) -> Collection[ChainState]:
    """Return how the chains stand that a word means."""
    return [each for each in ChainState if is_like(each, word.parts)]


def chained_states(word: Word) -> Collection[State]:
    """Return the states in which a step can be of the chains that a word means."""
    return {state for each in chains_of(word) for state in STATES_OF[each]}


def _chain(word: Word, _: tuple[Word, ...]) -> Test:
    meant = chains_of(word)
    if not meant:
        raise Unfit(f"one of {', '.join(ChainState)}, or * for any chain")
    return lambda subject: chain_state(subject.task) in meant


def _exact(of: Callable[[Task], Sequence[str]]) -> Callable[[Word, tuple[Word, ...]], Test]:
    """Return the test for texts that are as a word says, from end to end."""

    def test(word: Word, _: tuple[Word, ...]) -> Test:
        parts = word.parts
        return lambda subject: any(is_like(text, parts) for text in of(subject.task))

    return test


def _found_in(of: Callable[[Subject], Sequence[str]]) -> Callable[[Word, tuple[Word, ...]], Test]:
    """Return the test for texts that have a word somewhere in them, in capitals or not."""

    def test(word: Word, _: tuple[Word, ...]) -> Test:
        parts = ("", *(part.casefold() for part in word.parts), "")
        return lambda subject: any(is_like(text.casefold(), parts) for text in of(subject))

    return test


def _number(of: Callable[[Task], int]) -> Callable[[Word, tuple[Word, ...]], Test]:
    def test(word: Word, _: tuple[Word, ...]) -> Test:
        compared = None if word.is_quoted else _COMPARED.fullmatch(word.text)
        compare, text = (
            (_COMPARE[compared[1]], compared[2]) if compared else (operator.eq, word.text)
        )
        if not _WHOLE.fullmatch(text):
            raise Unfit("a whole number, such as 3 or >3")
        number = int(text)
        return lambda subject: compare(of(subject.task), number)

    return test


def _time(
    of: Callable[[Task], Moment | None], *, ahead: bool = False
) -> Callable[[Word, tuple[Word, ...]], Test]:
    """Return the test for a moment; a duration is its distance from now, into the past or ahead."""

    def test(word: Word, _: tuple[Word, ...]) -> Test:
        compared = None if word.is_quoted else _COMPARED.fullmatch(word.text)
        if compared is None:
            raise Unfit(f"<, <=, > or >= and {DURATION}, or a moment such as {MOMENT}")
        compare = _COMPARE[compared[1]]
        if (span := seconds_in(compared[2])) is not None:
            sign = 1 if ahead else -1
            return lambda subject: (
                (moment := of(subject.task)) is not None
                and compare(sign * (moment - subject.now), span)
            )
        limit = moment_in(compared[2])
        return lambda subject: (moment := of(subject.task)) is not None and compare(moment, limit)

    return test


def seconds_in(text: str) -> float | None:
    """Return the seconds of a duration such as "1d12h"; None for a text that is none."""
    if not _SPAN.fullmatch(text):
        return None
    return sum(float(number) * UNITS[unit] for number, unit in _PART.findall(text))


def moment_in(text: str) -> Moment:
    """Return the moment of a text such as "2026-11-30T08:00Z"; raise `Unfit` for what is none."""
    try:
        if len(text) == len("2026-11-30"):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Unfit(f"{DURATION}, or a moment such as {MOMENT}") from None
    if moment.tzinfo is None:
        raise Unfit(f"a moment with its zone, such as {MOMENT}")
    return moment.timestamp()


def _argument(word: Word, path: tuple[Word, ...]) -> Test:
    names = [name.text for name in path]
    fits = _value_test(word)
    return lambda subject: any(fits(value) for value in _at(subject.data, names))


def _value_test(word: Word) -> Callable[[Any], bool]:
    compared = None if word.is_quoted else _COMPARED.fullmatch(word.text)
    if compared is not None:
        if not _NUMBER.fullmatch(compared[2]):
            raise Unfit(f'a number after {compared[1]}, or the text in quotes: "{word.text}"')
        compare, limit = _COMPARE[compared[1]], float(compared[2])
        return lambda value: type(value) in _NUMBERS and compare(value, limit)
    parts = word.parts
    number = None if word.is_quoted or not _NUMBER.fullmatch(word.text) else float(word.text)
    return lambda value: (
        is_like(_text(value), parts) or (type(value) in _NUMBERS and value == number)
    )


def _at(data: object, names: Sequence[str]) -> Sequence[object]:
    """Return what is at the end of a path; of a list each element, unless a number names one."""
    found: list[object] = [data]
    for name in names:
        found = [value for each in found for value in _below(each, name)]
    return _elements(found)


def _below(data: object, name: str) -> Sequence[object]:
    """Return what has a name in an object, in each object of a list, or a place in that list."""
    here = [data]
    if isinstance(data, list) and _PLACE.fullmatch(name):
        return cast("list[object]", data)[int(name) :][:1]
    return [
        cast("dict[object, object]", each)[name]
        for each in _elements(here)
        if isinstance(each, dict) and name in each
    ]


def _elements(values: Sequence[object]) -> Sequence[object]:
    """Return values with the elements of lists in their place; they may be nested deeply."""
    found: list[object] = []
    left = [*reversed(values)]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += reversed(cast("list[object]", value))
        else:
            found.append(value)
    return found


_CONSTANTS: Final[Mapping[object, str]] = {None: "null", True: "true", False: "false"}


def _text(value: object) -> str:
    """Return one value as text, as JSON would write it but without quotes; of an object nothing."""
    if isinstance(value, dict):
        return ""
    if value is None or isinstance(value, bool):
        return _CONSTANTS[value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    try:
        return value if isinstance(value, str) else str(value)
    except ValueError:
        # Python writes no whole number of more than some thousand digits
        return ""


def texts_of(data: object) -> Iterator[str]:
    """Yield all names and values in plain data, as text; it may be nested deeply."""
    left = [data]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            held = cast("dict[object, object]", value)
            left += [*held, *held.values()]
        elif isinstance(value, list | tuple):
            left += cast("Sequence[object]", value)
        else:
            yield _text(value)


def _payload(subject: Subject) -> Sequence[str]:
    return [*texts_of(subject.data)]


def _error(subject: Subject) -> Sequence[str]:
    return () if subject.task.error is None else (subject.task.error,)


def _fingerprint(word: Word, _: tuple[Word, ...]) -> Test:
    if not FINGERPRINT.fullmatch(word.text):
        raise Unfit("the twelve digits of a group of failures, such as 0a1b2c3d4e5f")

    def test(subject: Subject) -> bool:
        task = subject.task
        return fingerprint(task.name, common_part(task.error or "")) == word.text

    return test


def _anywhere(subject: Subject) -> Sequence[str]:
    return [subject.task.name, subject.task.id, *_error(subject), *_payload(subject)]


def _group(task: Task) -> Sequence[str]:
    return () if task.spec.group is None else (task.spec.group,)


def _origin(word: Word, _: tuple[Word, ...]) -> Test:
    if len(word.parts) > 1:
        # nobody finds out bit by bit what is in a queue that is not theirs to see
        raise Unfit("the whole id of a task, or the name of a group or of a periodic task")
    return lambda subject: (it := subject.task.origin) is not None and it.name == word.text


ARGS: Final = "args"
NAME: Final = "name"
STATE: Final = "state"
QUEUE: Final = "queue"
ID: Final = "id"
CHAIN: Final = "chain"
CAUSE: Final = "fingerprint"

QUALIFIERS: Final[Mapping[str, Qualifier]] = {
    STATE: Qualifier(_state),
    QUEUE: Qualifier(_exact(lambda task: (task.queue,))),
    NAME: Qualifier(_exact(lambda task: (task.name,))),
    ID: Qualifier(_exact(lambda task: (task.id,))),
    "tag": Qualifier(_exact(lambda task: task.spec.tags)),
    "group": Qualifier(_exact(_group)),
    "origin": Qualifier(_origin),
    CHAIN: Qualifier(_chain),
    "priority": Qualifier(_number(lambda task: task.spec.priority)),
    "attempts": Qualifier(_number(lambda task: task.attempts)),
    "failures": Qualifier(_number(lambda task: task.failures)),
    "crashes": Qualifier(_number(lambda task: task.crashes)),
    "created": Qualifier(_time(lambda task: task.created)),
    "finished": Qualifier(_time(lambda task: task.finished)),
    "due": Qualifier(_time(lambda task: task.due, ahead=True)),
    "error": Qualifier(_found_in(_error), cost=1),
    CAUSE: Qualifier(_fingerprint, cost=2),
    ARGS: Qualifier(_argument, cost=2),
    "payload": Qualifier(_found_in(_payload), cost=3),
    "text": Qualifier(_found_in(_anywhere), cost=3),
}
"""By name. A new one is documented in docs/reference/queries.md."""

VALUES: Final[Mapping[str, Sequence[str]]] = {
    STATE: [str(state) for state in State if state is not State.GONE],
    CHAIN: [str(each) for each in ChainState],
}
"""Of the qualifiers that take nothing else, to be completed."""


def test_of(term: Term) -> Test:
    """Return the test that a term makes; raise `Unfit` for a word that is no value of it."""
    tests = [QUALIFIERS[term.qualifier].test(word, term.path) for word in term.words]
    if term.is_negated:
        return lambda subject: not any(test(subject) for test in tests)
    if len(tests) == 1:
        return tests[0]
    return lambda subject: any(test(subject) for test in tests)
