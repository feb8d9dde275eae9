"""What a router says for all of its tasks: options and a retry policy, which each may override."""

from collections.abc import Callable, Collection
from inspect import isclass
from typing import Any, Final, TypeAlias, cast

from attrs import evolve

from qcore.app.calls.options import Options, merge_options
from qcore.app.calls.task_template import TaskTemplate
from qcore.domain.backoff import Curve
from qcore.domain.error_groups import BY_GRAVITY
from qcore.domain.errors import InvalidOption, InvalidTask
from qcore.domain.record import record
from qcore.domain.retry import ErrorKinds, PolicyParts, RetryPolicy, parts_of
from qcore.domain.text import shown

ErrorClasses: TypeAlias = type[BaseException] | Collection[type[BaseException]]

OF_ONE_TASK: Final = ("task_id", "unique_key")
"""Options that tell tasks apart: of all tasks, the second would be in the place of the first."""


@record
class TaskDefaults:
    """Options and a retry policy."""

    options: Options
    policy: PolicyParts

    def over(self, other: "TaskDefaults") -> "TaskDefaults":
        """Return these, with another's where there is nothing."""
        return TaskDefaults(
            merge_options(other.options, self.options), self.policy.over(other.policy)
        )


def task_defaults(options: Options | None, policy: PolicyParts) -> TaskDefaults:
    """Return defaults; raise `InvalidOption` for one that is wrong, or cannot be for all tasks."""
    given: Any = {} if options is None else options
    if not isinstance(given, dict):
        raise InvalidOption(
            f"defaults is {given!r}: expected options of tasks, such as {{'max_retry': 5}}"
        )
    for name in OF_ONE_TASK:
        if name in given:
            raise InvalidOption(
                f"defaults has {name}, which tells tasks apart: give each task its own"
            )
    found = cast("Options", {**given})
    try:
        TaskTemplate("defaults", found).check()
    except InvalidTask as error:
        raise InvalidOption(f"defaults: {error}") from None
    return TaskDefaults(found, policy)


def policy_parts(
    retry: RetryPolicy | Curve | None,
    is_failure: Callable[[BaseException], bool] | None,
    retry_on: ErrorClasses | None = None,
    give_up_on: ErrorClasses | None = None,
) -> PolicyParts:
    """Return what is said of a retry policy; raise `InvalidOption` for what is none."""
    if is_failure is not None and not callable(is_failure):
        raise InvalidOption(f"is_failure is {is_failure!r}: expected a function of an error")
    said = PolicyParts(is_failure=is_failure, kinds=_error_kinds(retry_on, give_up_on))
    if isinstance(retry, RetryPolicy):
        return said.over(parts_of(retry))
    if retry is not None and not callable(retry):
        raise InvalidOption(f"retry is {retry!r}: expected a RetryPolicy or a curve")
    return evolve(said, curve=retry)


def _error_kinds(
    retry_on: ErrorClasses | None, give_up_on: ErrorClasses | None
) -> ErrorKinds | None:
    """Return which errors are retried; None where neither is said."""
    if retry_on is None and give_up_on is None:
        return None
    retried = None if retry_on is None else _classes("retry_on", retry_on)
    given_up = () if give_up_on is None else _classes("give_up_on", give_up_on)
    for each in retried or ():
        if each in given_up:
            raise InvalidOption(
                f"{each.__name__} is in retry_on and in give_up_on: expected it in one of them"
            )
    return ErrorKinds(retried, given_up)


def _classes(what: str, given: object) -> tuple[type[BaseException], ...]:
    several = cast("Collection[object]", given if isinstance(given, Collection) else (given,))
    for each in several:
        if not (isclass(each) and issubclass(each, BaseException)):
            raise InvalidOption(
                f"{what} has {shown(each)}: expected classes of errors, as (ConnectionError,)"
            )
        if issubclass(each, BY_GRAVITY):
            raise InvalidOption(
                f"{what} has {each.__name__}, which says itself what follows: expected others"
            )
    return tuple(cast("Collection[type[BaseException]]", several))
