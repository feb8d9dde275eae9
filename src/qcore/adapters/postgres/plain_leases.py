"""Which leases are of tasks that end, if their run succeeds, without anything to decide.

A verdict has a lease, and no more of the task. What the statistics count it by is its name: so it
is remembered from the claim, where a run's success deletes the task and changes nothing else.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from qcore.domain.task import Lease, Task, Verdict
from qcore.domain.transitions import Succeeded

MAX_REMEMBERED: Final = 10_000
"""Leases whose names are remembered: a few times what a worker has in hand. What was forgotten is
read."""


class PlainLeases:
    """The names of tasks under a lease that have no unique key and no retention, by its token."""

    def __init__(self) -> None:
        self._names: OrderedDict[int, str] = OrderedDict()

    def add(self, lease: Lease, task: Task) -> None:
        """Remember the name of a task that was claimed, if it is a plain one."""
        spec = task.spec
        if spec.retention == 0 and spec.unique_key is None:
            self._names[lease.token] = spec.name
            if len(self._names) > MAX_REMEMBERED:
                self._names.popitem(last=False)

    def names_of(self, verdicts: Sequence[Verdict]) -> list[str] | None:
        """Return the names of tasks that succeeded, with nothing to follow and none of them twice.

        None where there is one that is not known to be plain.
        """
        names: list[str] = []
        tokens: set[int] = set()
        for verdict in verdicts:
            token, outcome = verdict.lease.token, verdict.outcome
            name = self._names.get(token)
            if name is None or type(outcome) is not Succeeded or outcome.then or token in tokens:
                return None
            names.append(name)
            tokens.add(token)
        return names

    def forget(self, verdicts: Sequence[Verdict]) -> None:
        """Forget leases that have ended."""
        for verdict in verdicts:
            self._names.pop(verdict.lease.token, None)
