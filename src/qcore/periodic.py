"""Periodic tasks: what to annotate with, and for those who write brokers what is stored of them."""

from qcore.app.calls.periodic_task import EntryOptions, PeriodicTask
from qcore.app.client.blocking_entries import BlockingEntries
from qcore.app.client.entries import Entries
from qcore.app.client.entry_listing import (
    EntryPage,
    EntryStatus,
    ListedEntry,
    TickOutcome,
)
from qcore.app.worker.periodic.alone import Scheduler
from qcore.domain.periodic.changes import (
    DueEntries,
    DueEntry,
    EntryChange,
    EntryConflict,
    EntryWritten,
)
from qcore.domain.periodic.entry import (
    Entry,
    EntryState,
    StoredEntry,
    TickRecord,
    UnreadableEntry,
)
from qcore.domain.periodic.tick import Tick

__all__ = [
    "BlockingEntries",
    "DueEntries",
    "DueEntry",
    "Entries",
    "Entry",
    "EntryChange",
    "EntryConflict",
    "EntryOptions",
    "EntryPage",
    "EntryState",
    "EntryStatus",
    "EntryWritten",
    "ListedEntry",
    "PeriodicTask",
    "Scheduler",
    "StoredEntry",
    "Tick",
    "TickOutcome",
    "TickRecord",
    "UnreadableEntry",
]
