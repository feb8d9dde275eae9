"""`WriteSignal`: tell the other processes that have a database open of a commit, and be told.

Theory of operation.

1. Listeners share a counter in a file beside the database, `-notify`. A writer commits, and then
   advances the counter. That wakes a few of those who wait, as to wake one takes a microsecond or
   more, and each of them wakes the rest before it does anything else.
2. The file is there while anybody listens. A listener holds a shared lock on it (`flock`), and who
   gets an exclusive one when it leaves removes it. Where there is no file, a writer does nothing.
3. A listener that is killed leaves its lock, which the kernel releases, and its place among those
   who wait, which the kernel forgets. No writer ever waits for a listener.
4. What is written in a caller's own transaction is committed by the caller, of which qcore is not
   told. So a second counter says that there may be a commit, for which listeners then look often.
5. Who waits for the lock of the database waits in line in the same file. A writer that has
   committed wakes the first by the same system call.
6. A listener that was told rests before it waits again, the longer the more of them there are, by a
   token bucket that all share (`CROWD_RATE`): who does not wait costs the writer nothing. What it
   missed meanwhile it finds by the counter. A turn takes more of the bucket while there are many
   commits: a writer that never pauses wakes 500 processes a second, not all of them fifty times.
7. Who cannot map the file, or does not know of it, such as an older qcore or a shell, does not tell
   of its commits. Listeners look now and then by themselves (`LookSchedule`).
"""

import os
from contextlib import suppress
from math import inf
from threading import Lock
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, NamedTuple

from qcore.adapters.links.sqlite.file_identity import Inode, inode_of
from qcore.adapters.links.sqlite.transaction import LOCK_POLL
from qcore.domain.queue_limits import Rate

if TYPE_CHECKING:
    from qcore.adapters.links.sqlite.event_count import EventCount


LONGEST_WAIT: Final = 0.005
"""Seconds in line for the lock of the database: not everybody tells of its release."""
CHECK_INTERVAL: Final = 0.1
"""Seconds for which a writer does not look whether somebody has removed the file by hand."""
CROWD_RATE: Final = Rate(100, 0.04)
"""How often all listeners of a database together go back to being told, while it is written to."""
MANY: Final = Rate(10, 0.02)
"""Commits since a listener's last turn from which on, and as often, its turn takes `DEAR` tokens:
who writes without a pause is not to be slowed by a crowd."""
DEAR: Final = 5
LONGEST_REST: Final = 0.5
"""Seconds after which a listener's turn has come, however many there are."""


class Told(NamedTuple):
    """What other processes have told while this one waited."""

    has_committed: bool
    will_commit: bool


class _File(NamedTuple):
    """A file as it was found at a path."""

    inode: Inode
    size: int


NOTHING: Final = Told(has_committed=False, will_commit=False)


class WriteSignal:
    """The signal of one database, as one process uses it; any thread may tell, one may wait."""

    def __init__(self, path: str) -> None:
        self._database = os.path.realpath(path)
        self._path = notify_of(self._database)
        self._lock = Lock()
        self._own = 0
        """How often this process has advanced the first counter."""
        self._telling: EventCount | None = None
        self._next_check = -inf
        self._refused: _File | None = None
        """The file that could not be used to tell; a listener lengthens one that is too short."""
        self._listening: EventCount | None = None
        self._heard = (0, 0)
        """Both counters as they were last read, the first without what this process has added."""
        self._last_turn = (0, -inf)
        """The first counter at this listener's last turn, and the moment of it."""
        self._is_interrupted = False

    # --- tell ----------------------------------------------------------------------------------

    def tell_of_commit(self) -> None:
        """Tell those who listen, but not this process, that a transaction was committed."""
        self._tell(is_own=True)

    def tell_of_writing(self) -> None:
        """Tell those who listen that a transaction is open which its owner may commit."""
        self._tell(is_own=False)

    def _tell(self, *, is_own: bool) -> None:
        with self._lock:
            count = self._writable()
            if count is None:
                return
            try:
                if is_own:
                    # before the counter, so that no other commit is taken for this one
                    self._own += 1
                else:
                    count.advance_second()
                count.advance()
            except OSError:
                self._telling, self._refused = None, _file_at(self._path)

    def _writable(self) -> "EventCount | None":
        """Return the counter, None where there is none that can be used."""
        if self._telling is None:
            if not os.access(self._path, os.F_OK):
                # the usual case where nobody listens: a third of the time of a `stat` that raises
                return None
        elif monotonic() < self._next_check and not self._is_removed(self._telling):
            return self._telling
        self._next_check = monotonic() + CHECK_INTERVAL
        file = _file_at(self._path)
        if file is None or file == self._refused:
            self._telling = None
            return None
        if self._telling is None or self._telling.inode != file.inode:
            try:
                self._telling = _event_count(self._path)
            except OSError:
                self._telling, self._refused = None, file
        return self._telling

    def _is_removed(self, count: "EventCount") -> bool:
        try:
            return count.is_removed
        except OSError:
            return True

    # --- wait for the lock of the database -----------------------------------------------------

    def tell_of_release(self) -> None:
        """Tell who waits for the lock that a transaction has ended which has written nothing."""
        with self._lock:
            if self._telling is not None:
                with suppress(OSError):
                    self._telling.wake_first()

    def wait_for_release(self, seconds: float) -> None:
        """Wait in line until the lock of the database may be free, and for so long at most.

        Where one cannot be told of it, wait for the time after which it is worth another try.
        """
        with self._lock:
            count = self._writable()
        try:
            if count is not None:
                count.wait_in_line(min(LONGEST_WAIT, seconds))
                return
        except OSError:
            # the file was truncated since
            pass
        sleep(LOCK_POLL)

    # --- listen --------------------------------------------------------------------------------

    def listen(self) -> bool:
        """Be told from now on; return whether that is possible."""
        with self._lock:
            if self._listening is not None and self._listening.inode == inode_of(self._path):
                return True
            self._drop_listening()
            try:
                self._listening = _event_count(self._path, beside=self._database)
                _, self._heard = self._counters(self._listening)
            except OSError:
                self._drop_listening()
            return self._listening is not None

    @property
    def is_listening(self) -> bool:
        """Whether it is told."""
        return self._listening is not None

    @property
    def own(self) -> int:
        """Return how often this process has told."""
        return self._own

    def wait(self, seconds: float) -> Told:
        """Wait until another process tells, or for so long; return what was told."""
        count = self._listening
        if count is None:
            sleep(seconds)
            return NOTHING
        ends = monotonic() + seconds
        try:
            return self._wait(count, ends)
        except OSError:
            # somebody has truncated the file
            self._listening = None
            return NOTHING

    def _wait(self, count: "EventCount", ends: float) -> Told:
        number, heard = self._read(count)
        while heard == self._heard and (left := ends - monotonic()) > 0:
            if self._is_interrupted:
                self._is_interrupted = False
                break
            waited_for = number
            count.wait(waited_for, left)
            number, heard = self._read(count)
            if number != waited_for:
                count.wake_behind(number)
        before, self._heard = self._heard, heard
        return Told(
            has_committed=heard[0] != before[0],
            will_commit=heard[1] != before[1],
        )

    def _read(self, count: "EventCount") -> tuple[int, tuple[int, int]]:
        # not while this process tells: it adds to its own number and to the counter
        with self._lock:
            return self._counters(count)

    def _counters(self, count: "EventCount") -> tuple[int, tuple[int, int]]:
        """Return the first counter, and both without what this process has told."""
        first, second = count.read()
        return first, (first - self._own, second)

    def next_turn(self, now: float) -> float:
        """Return when this listener is to wait again, which has been told something now.

        All listeners take their turns from one bucket, which is a moment in the file. Two who do so
        at once may get the same turn. Moments are those of the monotonic clock.
        """
        count = self._listening
        if count is None:
            return now
        try:
            # in this order, for what is no number: it may be left from before a boot
            stored = min(now + LONGEST_REST, count.moment)
            full = CROWD_RATE.after(stored, now, self._tokens(now))
            count.moment = full
        except OSError:
            self._listening = None
            return now
        return CROWD_RATE.next(full)

    def _tokens(self, now: float) -> int:
        """Return what a turn takes, by how often there were commits since the last one."""
        (number, since), self._last_turn = self._last_turn, (self._heard[0], now)
        commits = self._heard[0] - number
        return DEAR if commits >= max(MANY.count, (now - since) / MANY.pace) else 1

    def interrupt(self) -> None:
        """End the wait of this process's listener."""
        with self._lock, suppress(OSError):
            self._is_interrupted = True
            if self._listening is not None:
                self._listening.interrupt()

    def leave(self) -> None:
        """Be told no more; remove the file if nobody else listens."""
        with self._lock:
            if self._listening is not None:
                self._listening.leave()
            self._drop_listening()

    def reset_in_child(self) -> None:
        """Leave the lock to the parent; drop what another thread may have held at the fork."""
        self._lock = Lock()
        self._drop_listening()

    def _drop_listening(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None


def notify_of(path: str) -> str:
    """Return the path of the file by which listeners of a database are told of commits."""
    return f"{path}-notify"


def why_not_told(path: str) -> str | None:
    """Return why those who listen to a database cannot be told of commits; None if they can."""
    database = os.path.realpath(path)
    try:
        count = _event_count(notify_of(database), beside=database)
    except OSError as error:
        return str(error)
    count.leave()
    count.close()
    return None


def _file_at(path: str) -> _File | None:
    """Return the file at a path, None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  (half the time of Path.stat)
    except OSError:
        return None
    return _File((found.st_dev, found.st_ino), found.st_size)


def _event_count(path: str, *, beside: str | None = None) -> "EventCount":
    """Open the counter to tell, or, `beside` the database, to listen."""
    try:
        # late: it loads ctypes, and many a producer has nobody to tell
        from qcore.adapters.links.sqlite.event_count import EventCount
    except ImportError as error:
        raise OSError(str(error)) from error
    return EventCount(path) if beside is None else EventCount.listening(path, beside)
