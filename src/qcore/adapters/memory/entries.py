"""`Entries`: the entries of periodic tasks of the memory broker."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count

from attrs import define

from qcore.domain.moments import Moment
from qcore.domain.periodic.entry import EntryId, FoundEntry, StoredEntry
from qcore.domain.periodic.stored_form import decode_entry, encode_entry


@define(eq=False)
class StoredBytes:
    """An entry as any store would have it: encoded, so that it is read as strictly as elsewhere."""

    revision: str
    wake: Moment | None
    encoded: bytes


class Entries:
    """All entries of one broker, by queue and id."""

    def __init__(self) -> None:
        self._rows: defaultdict[str, dict[EntryId, StoredBytes]] = defaultdict(dict)
        self._revisions = count(1)

    def number(self, queue: str) -> int:
        """Return how many lie in a queue."""
        return len(self._rows.get(queue, ()))

    def queues(self) -> list[str]:
        """Return the queues in which any lie."""
        return sorted(queue for queue, rows in self._rows.items() if rows)

    def revision(self, queue: str, entry: EntryId) -> str | None:
        """Return the revision of what lies under an id, None where nothing does."""
        row = self._rows.get(queue, {}).get(entry)
        return None if row is None else row.revision

    def put(self, queue: str, entry: EntryId, stored: StoredEntry | None) -> str | None:
        """Put an entry under an id, or remove it; return its new revision."""
        if stored is None:
            self._rows[queue].pop(entry, None)
            return None
        revision = str(next(self._revisions))
        self._rows[queue][entry] = StoredBytes(revision, stored.state.wake, encode_entry(stored))
        return revision

    def put_encoded(self, queue: str, entry: EntryId, encoded: bytes) -> None:
        """Put bytes in the place of an entry's, as a newer qcore might."""
        self._rows[queue][entry].encoded = encoded

    def find(self, queue: str, entry: EntryId) -> FoundEntry | None:
        """Return what lies under an id, None where nothing does."""
        row = self._rows.get(queue, {}).get(entry)
        return None if row is None else decode_entry(queue, entry, row.encoded, row.revision)

    def browse(self, queue: str, limit: int, after: EntryId) -> list[FoundEntry]:
        """Return what lies in a queue, in the order of ids."""
        later = sorted(entry for entry in self._rows.get(queue, {}) if entry > after)
        found = (self.find(queue, entry) for entry in later[: max(0, limit)])
        return [each for each in found if each is not None]

    def due(self, queues: Sequence[str], limit: int, now: Moment) -> list[StoredEntry]:
        """Return readable entries to be looked at by now, the earliest first."""
        found: list[StoredEntry] = []
        for _, queue, entry in sorted(row for row in self._wakes(queues) if row[0] <= now):
            if len(found) >= limit:
                break
            read = self.find(queue, entry)
            if isinstance(read, StoredEntry):
                found.append(read)
        return found

    def next_wake(self, queues: Sequence[str], now: Moment) -> Moment | None:
        """Return when the next entry after `now` is to be looked at."""
        return min((wake for wake, _, _ in self._wakes(queues) if wake > now), default=None)

    def _wakes(self, queues: Sequence[str]) -> Iterable[tuple[Moment, str, EntryId]]:
        for queue in set(queues):
            for entry, row in self._rows.get(queue, {}).items():
                if row.wake is not None:
                    yield row.wake, queue, entry
