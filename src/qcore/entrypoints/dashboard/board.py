"""What all pages of a dashboard share: the queue that they show, and how it was set up."""

from collections.abc import Sequence

from qcore.app.calls.codec import Codec
from qcore.app.client.auditing import Emit
from qcore.app.client.client import Client
from qcore.app.client.entries import Entries
from qcore.app.client.inspector import Inspector
from qcore.app.client.qualifiers import ReadPayload
from qcore.app.client.task_listing import payload_reader
from qcore.app.worker.instruments import Instruments
from qcore.domain.diagnostics import Finding
from qcore.domain.events import Operated
from qcore.domain.moments import Moment
from qcore.domain.record import record
from qcore.entrypoints.dashboard.jobs import Jobs
from qcore.entrypoints.dashboard.masked_broker import MaskedBroker
from qcore.entrypoints.dashboard.settings import Settings
from qcore.entrypoints.dashboard.streams import Streams
from qcore.entrypoints.facade import Qcore
from qcore.ports import Broker


@record
class Examination:
    """What the doctor has found, and when; without what is not to be seen."""

    at: Moment
    findings: Sequence[Finding]


class Board:
    """A queue, and how its dashboard was set up."""

    def __init__(self, q: Qcore, settings: Settings) -> None:
        self.q = q
        self.settings = settings
        self.mask = settings.mask
        self.emit: Emit | None = Instruments(q.instruments).sender(Operated)
        """Tells the instruments of the queue what operators do; None if none of them wants that."""
        self.streams = Streams()
        self.jobs = Jobs()
        self.examined: Examination | None = None
        """The last that somebody has asked this process for."""
        self._inspector: tuple[Broker, Inspector] | None = None

    @property
    def inspector(self) -> Inspector:
        """Return the inspector of the pages, which sees no more than a page may show.

        What writes back what it has read, such as a form for arguments, asks that of the queue.
        """
        broker = self.q.broker
        if self._inspector is None or self._inspector[0] is not broker:
            # a test may have swapped the broker
            self._inspector = broker, self._made(self.emit)
        return self._inspector[1]

    def inspector_of(self, note: Emit) -> Inspector:
        """Return an inspector that sees no more, and besides tells one function what it has done.

        The instruments are told as of any other.
        """
        emit = self.emit

        def both(event: Operated) -> None:
            note(event)
            if emit is not None:
                emit(event)

        return self._made(both)

    def _made(self, emit: Emit | None) -> Inspector:
        return Inspector(
            self._masked(),
            clock=self.q.clock,
            codec=self.q.codec,
            read_payload=self.mask.reader(self.read_payload),
            emit=emit,
            writer=self.q.broker,
        )

    @property
    def entries(self) -> Entries:
        """Return the entries of periodic tasks, with what may be seen of the tasks of their ticks.

        They are for reading: what changes an entry asks those of the queue, which tell of it.
        """
        return Entries(Client(self._masked(), clock=self.q.clock, codec=self.q.codec))

    def _masked(self) -> Broker:
        return MaskedBroker(self.q.broker, self.mask, self.read_payload)

    @property
    def codec(self) -> Codec:
        """Return what reads arguments and results."""
        return self.q.codec

    @property
    def read_payload(self) -> ReadPayload:
        """Return what reads a task's arguments as they are, to be masked before they are shown."""
        return payload_reader(self.q.codec)

    def now(self) -> Moment:
        """Return the time that the store goes by, once it has been asked for anything."""
        return self.q.clock.now()
