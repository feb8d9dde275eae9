"""Where the tasks of a `Qcore` wait, and what is made of that: clients, inspectors, entries.

A queue may be declared before that is known, as in the module of an application whose factory
reads the settings (`Qcore.later`). `swapped` puts another store over it for a while: what is
configured in such a block counts when the block is over.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from inspect import iscoroutinefunction
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from qcore.adapters.instruments.logging import LoggingInstrument
from qcore.adapters.links.urls import without_password
from qcore.app.calls.foreign_names import OF_QUEUES, missing
from qcore.app.calls.introspection import unwraps_to
from qcore.app.client.client import BlockingClient, Client
from qcore.app.client.enqueue_middleware import EnqueueMiddleware, TellEnqueued
from qcore.app.client.own_frames import without_own_frames
from qcore.app.client.size_limits import DEFAULT_MAX_PAYLOAD, DEFAULT_MAX_RESULT, byte_limit
from qcore.app.tasks.interactive import put
from qcore.app.tasks.lifespan import Lifespan
from qcore.app.tasks.process_function import running_module
from qcore.app.tasks.router import Router, RouterOptions
from qcore.app.worker.instruments import Instruments
from qcore.domain.errors import InvalidOption
from qcore.domain.events import BrokerCalled, Operated, TasksEnqueued
from qcore.domain.frozen_dict import FrozenDict
from qcore.domain.retry import Dice
from qcore.entrypoints.connect import connect, url_of_environment
from qcore.entrypoints.stores import Settings, Store, clock_of, codec_of, listed, name_of
from qcore.ports import Broker, Capability, Clock, Instrument, Serializer

if TYPE_CHECKING:
    from qcore.app.client.blocking_entries import BlockingEntries
    from qcore.app.client.blocking_inspector import BlockingInspector
    from qcore.app.client.entries import Entries
    from qcore.app.client.inspector import Inspector
    from qcore.entrypoints.inlining import Errors, InlineBlock

# seeded by the system: workers that share a seed would retry in step
DICE: Final = SystemRandom().random

NOTHING: Final[Mapping[type, object]] = FrozenDict()

NOT_CONFIGURED: Final = (
    "this Qcore is not configured yet: call q.configure(url) before it is used, where the "
    "application is made; a test may use `with q.swapped():`"
)
_MADE_LATE: Final = frozenset({"inspector", "blocking_inspector", "entries", "blocking_entries"})
"""What is made of a store when it is first asked for, as programs that only enqueue never do."""
_MADE: Final = _MADE_LATE | {"broker", "store", "clock", "dice", "client", "blocking", "_traced"}
"""What is made of a store; it is not there before one is known."""


class ConfiguredRouter(Router):
    """A router with a store, or one that is given its store later."""

    inspector: "Inspector"
    """Reads what the store holds and moves tasks, for asynchronous code."""
    blocking_inspector: "BlockingInspector"
    """The same for code that blocks."""
    entries: "Entries"
    """The entries of periodic tasks, for asynchronous code."""
    blocking_entries: "BlockingEntries"
    """The entries of periodic tasks, for code that blocks."""

    def __init__(self, **said: Unpack[RouterOptions]) -> None:
        super().__init__(self, **said)
        self.codec = codec_of(None)
        self.instruments: tuple[Instrument, ...] = ()
        self.has_own_store = False
        """Whether code says where tasks wait, rather than the settings."""
        self._added_instruments: list[Instrument] = []
        self._enqueue_middleware: list[EnqueueMiddleware] = []
        self._wraps: list[Callable[[Broker], Broker]] = []
        self._max_payload = DEFAULT_MAX_PAYLOAD
        self._max_result = DEFAULT_MAX_RESULT
        self._settings: Settings | None = None
        self._configured: Store | None = None
        self._swapped: list[Store] = []
        """What `swapped` has put in the place of that, the innermost last."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Make what is made late of a store; say of all of it that none is known yet."""
            if name not in _MADE:
                raise missing(self, name, OF_QUEUES)
            if self._store is None:
                raise InvalidOption(NOT_CONFIGURED)
            # two threads that ask at once get the same
            return vars(self).setdefault(name, self._make_late(name))

    @property
    def is_configured(self) -> bool:
        """Whether it is known where tasks wait, `swapped` aside."""
        return self._configured is not None

    @property
    def is_inline(self) -> bool:
        """Whether tasks are run where they are asked for just now."""
        return self._store is not None and self._store.inline is not None

    @property
    def is_swapped_into_memory(self) -> bool:
        """Whether a test has put a store in the place of another that no connection leads to."""
        return bool(self._swapped) and Capability.SHARED not in self.broker.capabilities

    def configure(
        self,
        url: str | None = None,
        *,
        broker: Broker | None = None,
        clock: Clock | None = None,
        serializer: Serializer | None = None,
        dice: Dice = DICE,
        instruments: Sequence[Instrument] | None = None,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        max_result: int = DEFAULT_MAX_RESULT,
        again: bool = False,
    ) -> None:
        """Say where the tasks of a queue wait that `Qcore.later` made; nothing is opened yet.

        The parameters are those of `Qcore`. To say the same once more changes nothing; another
        store or setting raises `InvalidOption`, unless it is meant, with `again=True`, as where
        each test makes an application: then all that is enqueued or run from now on is so over
        there. In a block of `swapped` it counts when the block is over.
        """
        if url is not None and broker is not None:
            raise InvalidOption("both url and broker are given: expected one of them")
        told = None if instruments is None else listed(instruments)
        settings = Settings(url, broker, clock, serializer, dice, told, max_payload, max_result)
        if self._configured is not None and not again:
            if settings == self._settings:
                return
            raise InvalidOption(
                f"this Qcore is configured already, with its tasks in {self._configured.name}: "
                "configure it once; where another store is meant to take its place, as in tests "
                "that make an application each, say q.configure(…, again=True)"
            )
        codec = codec_of(serializer)
        for handler in self.handlers():
            handler.signature.check(codec)
        name, broker = self._connect(url) if broker is None else (name_of(broker), broker)
        self._max_result = byte_limit("max_result", max_result)
        self._max_payload = byte_limit("max_payload", max_payload)
        self.codec = codec
        first = (LoggingInstrument(),) if told is None else told
        self.instruments = (*first, *self._added_instruments)
        self.has_own_store = settings.url is not None or settings.broker is not None
        self._settings, self._configured = settings, Store(broker, name, clock, dice)
        self.node.configured_in = running_module()
        self._wire()

    @contextmanager
    def swapped(
        self,
        url: str = "memory://",
        *,
        broker: Broker | None = None,
        clock: Clock | None = None,
        dice: Dice | None = None,
        lifespans: Sequence[Lifespan] | None = None,
        provided: Mapping[type, object] = NOTHING,
    ) -> Generator[Self]:
        """Use another broker, clock or dice while the block lasts, as a test does.

        Tasks stay declared; whatever enqueues or runs them in the block does so over there, also
        where the queue is not configured yet. Without a `clock` it goes by the one that this queue
        was given, or else by the other broker's time. `lifespans` are entered in the place of all
        that are declared, `[]` for none; `provided` are objects in the place of what lifespans and
        arounds yield, by the type that a handler asks for (`ctx.state`, `Provided`).
        """
        name, broker = self._connect(url) if broker is None else (name_of(broker), broker)
        with self._using(broker, name, clock, dice, lifespans=lifespans, provided=provided):
            yield self

    def inline(
        self,
        *,
        errors: "Errors" = "raise",
        clock: Clock | None = None,
        dice: Dice | None = None,
        lifespans: Sequence[Lifespan] | None = None,
        provided: Mapping[type, object] = NOTHING,
    ) -> "InlineBlock[Self]":
        """Run each task where it is asked for, in the caller's thread, while a block lasts.

        `with q.inline():`, or `async with` where lifespans are declared and an event loop runs. A
        task that is due is run once before its enqueue returns, with all that is around a handler
        in a worker, and what follows it after it; the store is one in memory, of the block's own.
        What a handler raises is raised there, too, once its task is settled; with `errors="keep"`
        only its handle tells. The other parameters are those of `swapped`.
        """
        from qcore.app.worker.inline import InlineRunner
        from qcore.entrypoints.inlining import InlineBlock

        def use(block: InlineBlock[Self]) -> AbstractContextManager[Self]:
            broker = connect("memory://")
            return self._using(
                broker, "inline", clock, dice, lifespans=lifespans, provided=provided, inline=block
            )

        def make(state: Mapping[type, Any]) -> InlineRunner:
            return InlineRunner(
                self._traced,
                self,
                self.client,
                clock=self.clock,
                dice=self.dice,
                max_payload=self._max_payload,
                max_result=self._max_result,
                state=state,
                emit=Instruments(self.instruments),
            )

        return InlineBlock(use, self.node.all_lifespans, make, errors=errors)

    @contextmanager
    def _using(
        self,
        broker: Broker,
        name: str,
        clock: Clock | None,
        dice: Dice | None,
        *,
        lifespans: Sequence[Lifespan] | None,
        provided: Mapping[type, object],
        inline: "InlineBlock[Any] | None" = None,
    ) -> Generator[Self]:
        before = self._store
        own_clock = None if before is None else before.clock
        own_dice = DICE if before is None else before.dice
        store = Store(broker, name, clock or own_clock, dice or own_dice, inline)
        self._swapped.append(store)
        self._wire()
        node = self.node
        instead = node.lifespans_instead, node.state_instead
        node.lifespans_instead = instead[0] if lifespans is None else [*lifespans]
        node.state_instead = {**instead[1], **provided}
        try:
            yield self
        finally:
            node.lifespans_instead, node.state_instead = instead
            self._swapped.remove(store)
            self._wire()

    def add_instrument(self, instrument: Instrument) -> None:
        """Tell one more instrument from now on, of the broker's calls too if it wants those."""
        self._added_instruments.append(instrument)
        self.instruments = (*self.instruments, instrument)
        self._wire()

    def enqueue_middleware(self, middleware: EnqueueMiddleware) -> EnqueueMiddleware:
        """Wrap a coroutine function `(tasks, send)` around every enqueue, here and in `swapped`.

        It awaits `send(tasks)` with the `NewTask`s, perhaps with other headers, and returns its
        answers; the first registered is the outermost. What a run enqueues when it succeeds is not
        sent by a client, nor what a schedule makes. Over the blocking client it must not suspend.
        Register it before the queue is used. Raises `InvalidOption` for what cannot be awaited.
        """
        if not unwraps_to(iscoroutinefunction, middleware):
            raise InvalidOption(
                f"{middleware!r} is no middleware: expected a coroutine function, "
                "async def middleware(tasks, send)"
            )
        put(self._enqueue_middleware, middleware)
        self._wire()
        return middleware

    def wrap_broker(self, wrap: Callable[[Broker], Broker]) -> None:
        """Put a wrapper around the broker of all that is made of this queue from now on.

        `wrap` is called with each broker, also with those of `swapped`, and returns one around it.
        Call it before the queue is used.
        """
        self._wraps.append(wrap)
        self._wire()

    # --- what is made of a store -----------------------------------------------------------------

    @property
    def _store(self) -> Store | None:
        """The store that is used now."""
        return self._swapped[-1] if self._swapped else self._configured

    def _connect(self, url: str | None) -> tuple[str, Broker]:
        """Return a URL as it may be shown, and its broker."""
        try:
            url = url_of_environment() if url is None else url
            broker = connect(url)
            return without_password(url), broker
        except InvalidOption as error:
            # a traceback that shows variables is not to show a password
            del url
            raise without_own_frames(error)  # noqa: B904  (it is the same error)

    def _wire(self) -> None:
        """Make anew what is made of the store that is used now, or take it away."""
        store = self._store
        for name in (_MADE if store is None else _MADE_LATE) & vars(self).keys():
            delattr(self, name)
        if store is None:
            return
        self.store = store.name
        """Where tasks wait, as it may be shown: the URL, or the name of the broker's class."""
        self.broker = broker = store.broker
        self.clock = clock = self._clock_beside(broker)
        self.dice = store.dice
        self._traced = self._trace(broker)
        self.client = self._client(self._traced, clock)
        """For asynchronous code."""
        self.blocking = self._blocking_client(self._trace(broker), clock)
        """For code that blocks."""

    def _make_late(self, name: str) -> object:
        told = Instruments(self.instruments).sender(Operated)
        match name:
            case "inspector":
                from qcore.app.client.inspector import Inspector

                return Inspector(self._traced, clock=self.clock, codec=self.codec, emit=told)
            case "blocking_inspector":
                from qcore.app.client.blocking_inspector import BlockingInspector

                inner = self.blocking.inner
                return BlockingInspector(
                    inner.broker, clock=inner.clock, codec=self.codec, emit=told
                )
            case "entries":
                from qcore.app.client.entries import Entries

                return Entries(self.client, emit=told)
            case _:
                from qcore.app.client.blocking_entries import BlockingEntries

                return BlockingEntries(self.blocking, emit=told)

    def _enqueue_teller(self) -> Callable[[], TellEnqueued | None]:
        """Return a function that says what is to be told of each enqueue, if anything."""
        return partial(Instruments(self.instruments).sender, TasksEnqueued)

    def _trace(self, broker: Broker) -> Broker:
        """Return a broker inside its wrappers.

        Its calls are told to the instruments, if any of them wants that.
        """
        for wrap in self._wraps:
            broker = wrap(broker)
        emit = Instruments(self.instruments)
        if not emit.wants(BrokerCalled):
            return broker
        from qcore.adapters.wrappers import TracedBroker

        return TracedBroker(broker, emit)

    def _client(self, traced: Broker, clock: Clock) -> Client:
        return Client(
            traced,
            clock=clock,
            codec=self.codec,
            max_payload=self._max_payload,
            middleware=self._middleware(is_awaited=True),
            teller=self._enqueue_teller(),
        )

    def _middleware(self, *, is_awaited: bool) -> Sequence[EnqueueMiddleware]:
        """Return what is around an enqueue; innermost what runs tasks inline, if anything does."""
        inline = None if self._store is None else self._store.inline
        if inline is None:
            return self._enqueue_middleware
        return [*self._enqueue_middleware, inline.awaited if is_awaited else inline.blocking]

    def _blocking_client(self, traced: Broker, clock: Clock) -> BlockingClient:
        return BlockingClient(
            traced,
            clock=clock,
            codec=self.codec,
            max_payload=self._max_payload,
            middleware=self._middleware(is_awaited=False),
            teller=self._enqueue_teller(),
        )

    def _clock_beside(self, broker: Broker) -> Clock:
        """Return the clock that was given, or else that of a broker."""
        given = None if self._store is None else self._store.clock
        return given or clock_of(broker)
