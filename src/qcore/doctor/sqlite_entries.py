"""Entries of periodic tasks that no scheduler can carry out."""

from collections.abc import Iterator
from typing import Final

from qcore.adapters.links.sqlite import Tx
from qcore.adapters.sqlite.entries import browse_entries, entry_queues
from qcore.domain.diagnostics import Finding, ok, warning
from qcore.domain.periodic.entry import UnreadableEntry

NUMBER: Final = "SELECT count(*) FROM qcore_entries"


def entries(tx: Tx) -> Iterator[Finding]:
    """Find entries that cannot be read or named; nothing where there are none at all."""
    ((number,),) = tx.execute(NUMBER)
    found = [entry for queue in entry_queues(tx) for entry in browse_entries(tx, queue, number, "")]
    odd = [each for each in found if isinstance(each, UnreadableEntry)]
    if odd:
        first = odd[0]
        yield warning(
            "periodic",
            f"{len(odd):,} of {number:,} entries of periodic tasks cannot be read, such as "
            f"{first.id!r} of the queue {first.queue!r}: {first.why}. They make no tasks",
            "upgrade qcore if a newer one has stored them, or add them anew under their names",
        )
    if len(found) < number:
        yield warning(
            "periodic",
            f"{number - len(found):,} entries of periodic tasks have an id or a queue that is "
            "empty or not UTF-8: nobody can name them, and they make no tasks",
            "correct or delete these rows of qcore_entries",
        )
    elif number and not odd:
        yield ok("periodic", f"{number:,} entries of periodic tasks, each can be read")
