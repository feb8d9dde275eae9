"""What a group of exceptions means, as `asyncio.TaskGroup` raises it for what its tasks raised.

A handler that has its work done in a `TaskGroup` raises control flow, such as `Snooze`, inside an
`ExceptionGroup`, and means it all the same.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, cast

from qcore.domain.control import RateLimited, Retry, Revoke, SkipRetry, Snooze
from qcore.domain.moments import Moment
from qcore.domain.text import said_by, trace_of

BY_GRAVITY: Final = (SkipRetry, Revoke, Retry, RateLimited, Snooze)
"""Of several kinds in one group the first counts: what ends the task comes before what burns a
retry, and that before what burns nothing. Of the two that end it, the one that leaves a trace."""
MAX_NAMED: Final = 20
"""Errors of a group that its text names."""
_ASKED: Final = ("__cause__", "__context__", "__suppress_context__", "__dict__")
"""What is asked of every error, beside its class and traceback."""


def is_a(error: BaseException, kinds: type | tuple[type, ...]) -> bool:
    """Return whether an `except` clause for these kinds takes an error.

    `isinstance` would ask the `__class__` of the error, which may raise or say anything.
    """
    return issubclass(type(error), kinds)


def is_group(error: BaseException) -> bool:
    """Return whether it is a group of exceptions."""
    return is_a(error, BaseExceptionGroup)


def is_readable(error: BaseException) -> bool:
    """Return whether an error, and each in it, answers what is asked of every error.

    Its class may raise when it is asked for `__class__` or `__traceback__`, or say what is not so.
    """
    try:
        return all(_is_itself(each) for each in (error, *leaves(error)))
    except BaseException:  # noqa: BLE001  (whatever its class does)
        return False


def _is_itself(error: BaseException) -> bool:
    kind = type(error)
    for name in _ASKED:
        getattr(error, name)
    names: tuple[object, ...] = kind.__name__, kind.__module__
    is_same = error.__class__ is kind and error.__traceback__ is trace_of(error)
    return is_same and all(isinstance(name, str) for name in names)


def leaves(error: BaseException) -> Sequence[BaseException]:
    """Return the errors in a group, and in the groups in it; the error itself where it is none.

    Each once, however often the groups lead to it.
    """
    found: list[BaseException] = []
    seen: set[int] = set()
    left = [error]
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if is_group(each):
            left.extend(reversed(cast("BaseExceptionGroup[Any]", each).exceptions))
        else:
            found.append(each)
    return found


def meaning_of(error: BaseException, now: Moment) -> BaseException:
    """Return the control flow that a group means if there is nothing else in it, else the error.

    Of one kind the one that asks for the latest moment, as each of them asks not to run before its
    own. An ordinary error beside control flow is a failure of the run: it may be neither put off
    nor deleted without a trace.
    """
    if not is_group(error):
        return error
    found = leaves(error)
    if not found or not all(isinstance(each, BY_GRAVITY) for each in found):
        return error
    gravest = next(kind for kind in BY_GRAVITY if any(isinstance(each, kind) for each in found))
    same = [each for each in found if isinstance(each, gravest)]
    return max(same, key=lambda each: _moment(each, now))


def is_in_vain(group: BaseException) -> bool:
    """Return whether a part of the work said `SkipRetry`: no other error in it changes that."""
    return any(isinstance(each, SkipRetry) for each in leaves(group))


def _moment(asked: BaseException, now: Moment) -> Moment:
    match asked:
        case Snooze() | Retry():
            moment = asked.moment(now)
        case RateLimited():
            moment = asked.moment(now, 0.0)
        case _:
            moment = None
    return now if moment is None else moment


def group_text(group: BaseException) -> str:
    """Return what a group says, and each of the errors in it.

    Where they are of one kind of control flow it is what they say alone, as of a single one.
    """
    found = leaves(group)
    if found and any(all(is_a(each, kind) for each in found) for kind in BY_GRAVITY):
        return _joined([said_by(each) or type(each).__name__ for each in found])
    named = [": ".join(filter(None, (type(each).__name__, said_by(each)))) for each in found]
    own = f"{type(group).__name__}: {said_by(group)}"
    return f"{own}: {_joined(named)}" if named else own


def _joined(texts: Sequence[str]) -> str:
    """Return texts as one, each once, and how many more there are."""
    different = dict.fromkeys(texts)
    more = len(different) - MAX_NAMED
    return "; ".join(islice(different, MAX_NAMED)) + (f"; and {more} more" if more > 0 else "")
