"""Which leases are of tasks that end, if their run succeeds, without anything to decide.

A verdict has a lease, and no more of the task. So what a claim knows of it is remembered, where a
run's success deletes the task and changes nothing else: the name that the statistics count it by,
and where its row lies.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from qcore.domain.record import record
from qcore.domain.task import Lease, Task, Verdict
from qcore.domain.transitions import Succeeded

MAX_REMEMBERED: Final = 10_000
"""Leases that are remembered: a few times what a worker has in hand. What was forgotten is read."""


@record
class PlainLease:
    """A lease, and what is known of it: its task's name, and the `ctid` of its row, as it was sent.

    Postgres moves a row that it updates.
    """

    lease: Lease
    name: str
    place: bytes


class PlainLeases:
    """Leases of tasks that have no unique key and no retention, by their tokens."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, PlainLease] = OrderedDict()

    def add(self, lease: Lease, task: Task, place: bytes) -> None:
        """Remember a lease that a claim has made, if its task is a plain one."""
        spec = task.spec
        if spec.retention == 0 and spec.unique_key is None:
            self._known[lease.token] = PlainLease(lease, spec.name, place)
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)

    def of(self, verdicts: Sequence[Verdict]) -> list[PlainLease] | None:
        """Return the leases of runs that succeeded, with nothing to follow and none of them twice.

        None where there is one that is not known to be plain.
        """
        found: list[PlainLease] = []
        tokens: set[int] = set()
        for verdict in verdicts:
            lease, outcome = verdict.lease, verdict.outcome
            known = self._known.get(lease.token)
            if known is None or (known.lease is not lease and known.lease != lease):
                # not known, or of another task: the token alone does not say which
                return None
            if type(outcome) is not Succeeded or outcome.then or lease.token in tokens:
                return None
            found.append(known)
            tokens.add(lease.token)
        return found

    def forget(self, leases: Iterable[Lease]) -> None:
        """Forget leases that have ended, or whose rows were moved as they were renewed."""
        for lease in leases:
            self._known.pop(lease.token, None)
