"""The limits of queues: read and set them."""

from collections.abc import Sequence
from itertools import chain
from typing import Final

from qcore.adapters.links.redis import Arg
from qcore.adapters.redis.script_runner import ScriptRunner
from qcore.adapters.redis.scripts import LIMITS, SET_LIMIT
from qcore.domain.errors import InvalidOption
from qcore.domain.moments import Moment
from qcore.domain.queue_limits import NO_LIMITS, LimitChange, Limits, Rate, SetInFlight, SetRate

NONE: Final = "-"


async def set_limit(runner: ScriptRunner, queue: str, rule: LimitChange, now: Moment) -> Limits:
    """Set one of a queue's limits."""
    # registered first: an unregistered queue is never listed, an unused name does no harm
    await runner.link.command("SADD", runner.keys.registry, queue)
    (reply,) = await runner.run_idempotent(SET_LIMIT, [([queue], _words(rule, now))])
    return _read(reply)


def _words(rule: LimitChange, now: Moment) -> list[Arg]:
    match rule:
        case SetRate(rate):
            count, per = (NONE, NONE) if rate is None else (rate.count, repr(float(rate.per)))
            return ["rate", count, per, repr(now)]
        case SetInFlight(most):
            return ["in_flight", NONE if most is None else most]
        case _:
            return ["paused", int(rule.is_paused)]


async def limits(runner: ScriptRunner, queues: Sequence[str]) -> list[Limits]:
    """Return the limits of queues."""
    groups = runner.queue_batches(queues)
    replies = await runner.run_idempotent(LIMITS, [(group, ()) for group in groups])
    pairs = zip(chain.from_iterable(groups), chain.from_iterable(replies), strict=True)
    held = {queue: NO_LIMITS if text is None else _read(text) for queue, text in pairs}
    return [held[queue] for queue in queues]


async def limited_queues(runner: ScriptRunner) -> list[str]:
    """Return the queues that have limits, of those that the registry names."""
    queues = await runner.registered_queues()
    found = zip(queues, await limits(runner, queues), strict=True)
    return [queue for queue, each in found if each != NO_LIMITS]


def _read(text: bytes) -> Limits:
    """Decode limits; what cannot be read, as somebody has edited it, limits nothing."""
    try:
        count, per, _, in_flight, paused = text.decode().split(" ")
        rate = None if count == NONE else Rate(int(count), float(per))
        return Limits(rate, None if in_flight == NONE else int(in_flight), paused == "1")
    except (ValueError, InvalidOption):
        return NO_LIMITS
