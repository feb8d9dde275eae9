"""What a router says for all of its tasks: options and a retry policy, which each may override."""

from collections.abc import Callable
from typing import Any, Final, cast

from qcore.app.calls.options import Options, merge_options
from qcore.app.calls.task_template import TaskTemplate
from qcore.domain.backoff import Curve
from qcore.domain.errors import InvalidOption, InvalidTask
from qcore.domain.record import record
from qcore.domain.retry import PolicyParts, RetryPolicy, parts_of

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


def task_defaults(
    options: Options | None,
    retry: RetryPolicy | Curve | None,
    is_failure: Callable[[BaseException], bool] | None,
) -> TaskDefaults:
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
    return TaskDefaults(found, policy_parts(retry, is_failure))


def policy_parts(
    retry: RetryPolicy | Curve | None, is_failure: Callable[[BaseException], bool] | None
) -> PolicyParts:
    """Return what is said of a retry policy; raise `InvalidOption` for what is none."""
    if is_failure is not None and not callable(is_failure):
        raise InvalidOption(f"is_failure is {is_failure!r}: expected a function of an error")
    if isinstance(retry, RetryPolicy):
        return PolicyParts(is_failure=is_failure).over(parts_of(retry))
    if retry is not None and not callable(retry):
        raise InvalidOption(f"retry is {retry!r}: expected a RetryPolicy or a curve")
    return PolicyParts(retry, is_failure)
