"""Build tasks of one name and one set of options, whose values are checked once."""

from collections.abc import Callable
from typing import Final

from qcore.app.calls.options import Options, merge_options, to_fields
from qcore.app.calls.user_code import refusal
from qcore.domain.errors import InvalidTask
from qcore.domain.ids import ENTROPY_BYTES, task_id
from qcore.domain.moments import Moment
from qcore.domain.new_task import (
    ESSENTIAL_CONTENT_TYPE,
    NewTask,
    another,
    own_headers,
    own_tags,
)

_VARYING: Final = frozenset({"task_id", "delay", "expires"})
"""Options whose field depends on the moment of the call, or has to differ from task to task."""
_UNIQUE: Final = frozenset({"unique_for", "on_duplicate"})


def _owned(options: Options) -> Options:
    """Return options whose values nobody else can change after they were checked."""
    owned: Options = {**options}
    if "headers" in owned:
        owned["headers"] = own_headers(owned["headers"])
    if "tags" in owned:
        owned["tags"] = own_tags(owned["tags"])
    return owned


class TaskTemplate:
    """A task's name and options; `defaults` are those that its own override.

    The first task built is kept, and later ones are copies of it with an id and a payload of their
    own, which skips the checks of `NewTask`. Where an option varies, each task is built anew.
    """

    def __init__(self, name: str, options: Options, defaults: Options | None = None) -> None:
        self.own: Final = options
        self.rebase(name, defaults)

    def rebase(self, name: str, defaults: Options | None) -> None:
        """Have another name and other defaults, as when a router is included in another."""
        self.name = name
        options = merge_options(defaults, self.own) if defaults else self.own
        try:
            self.options = _owned(options)
        except InvalidTask:
            raise
        except BaseException as error:
            raise refusal(name, error) from error
        self._first: NewTask | None = None
        self.is_unique = not _UNIQUE.isdisjoint(options) and "unique_key" not in options
        """Whether the unique key is derived from the task's name and arguments."""
        self._varies = self.is_unique or not _VARYING.isdisjoint(options)

    def check(self) -> None:
        """Raise `InvalidTask` if an option is wrong, before any task is enqueued."""
        key = "any" if self.is_unique else None
        self.make(b"", ESSENTIAL_CONTENT_TYPE, 0.0, bytes, unique_key=key)

    def make(
        self,
        payload: bytes,
        content_type: str,
        now: Moment,
        entropy: Callable[[int], bytes],
        *,
        unique_key: str | None = None,
    ) -> NewTask:
        """Return a task with this payload; raise `InvalidTask` if an option is wrong.

        `now` is what delays are counted from, and `entropy` returns so many random bytes, for ids.
        """
        first = self._first
        if first is not None and first.content_type == content_type:
            return another(first, task_id(now, entropy(ENTROPY_BYTES)), payload)
        fields = to_fields(self.options, now=now)
        if "id" not in fields:
            fields["id"] = task_id(now, entropy(ENTROPY_BYTES))
        if unique_key is not None:
            fields["unique_key"] = unique_key
        task = NewTask(self.name, payload=payload, content_type=content_type, **fields)
        if not self._varies:
            self._first = task
        return task
