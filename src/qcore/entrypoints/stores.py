"""What a queue is configured with, and the store that it uses."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from qcore.adapters.clocks import SystemClock
from qcore.adapters.serializers import JsonSerializer, MessagePackSerializer
from qcore.app.calls.codec import Codec
from qcore.domain.errors import InvalidOption
from qcore.domain.record import record
from qcore.domain.retry import Dice
from qcore.ports import Broker, Clock, Instrument, Serializer, timekeeper_of

if TYPE_CHECKING:
    from qcore.entrypoints.inlining import InlineBlock


@record
class Settings:
    """What a queue is configured with."""

    url: str | None
    broker: Broker | None
    clock: Clock | None
    serializer: Serializer | None
    dice: Dice
    instruments: Sequence[Instrument] | None
    max_payload: int
    max_result: int


@record
class Store:
    """A broker, what it is called, and the clock and the dice to go with it."""

    broker: Broker
    name: str
    """As it may be shown: the URL, or the name of the broker's class."""
    clock: Clock | None
    """None for the broker's own time, or else this machine's."""
    dice: Dice
    inline: "InlineBlock[Any] | None" = None
    """What runs its tasks where they are asked for; None where workers do."""


def name_of(broker: Broker) -> str:
    """Return what a broker is called that no URL names."""
    return type(broker).__name__


def listed(instruments: Sequence[Instrument]) -> tuple[Instrument, ...]:
    """Return instruments; raise `InvalidOption` where they are not several."""
    if not isinstance(instruments, Iterable):
        raise InvalidOption(f"instruments is {instruments!r}: expected [{instruments!r}]")
    return tuple(instruments)


def codec_of(serializer: Serializer | None) -> Codec:
    """Return the codec that writes with a serializer, and reads what others wrote.

    A serializer may say itself what it reads beside, in `also_reads`. One that has an `inner` may
    be there to refuse what only looks like what that one wrote: beside it, nothing is read that it
    does not name.
    """
    first = serializer or JsonSerializer()
    plain = () if hasattr(first, "inner") else (JsonSerializer(), MessagePackSerializer())
    beside: Sequence[Serializer] = getattr(first, "also_reads", plain)
    return Codec([first, *beside])


def clock_of(broker: Broker) -> Clock:
    """Return the clock that all who use a broker go by."""
    timekeeper = timekeeper_of(broker)
    return SystemClock() if timekeeper is None else SystemClock(time=timekeeper.time)
