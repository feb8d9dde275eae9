"""The workers that announce themselves: two keys, which expire with the last of them."""

from typing import Final

from msgspec import MsgspecError
from msgspec.msgpack import Decoder, Encoder

from qcore.adapters.links.redis import Arg, Script, ScriptCall
from qcore.adapters.redis.script_runner import ScriptRunner, chunks
from qcore.adapters.redis.scripts import ANNOUNCE, WITHDRAW
from qcore.domain.moments import Moment
from qcore.domain.workers import WorkerInfo, in_order

AT_ONCE: Final = 100
"""Workers that one call reads: what each announces may have some kilobytes."""

_encode: Final = Encoder().encode
_decode: Final = Decoder(WorkerInfo).decode


async def announce(runner: ScriptRunner, info: WorkerInfo) -> None:
    """List a worker, and remove those that have expired."""
    # a script that is sent again sets what it has set
    await _run(runner, ANNOUNCE, info.id, repr(info.expires), repr(info.seen), _encode(info))


async def withdraw(runner: ScriptRunner, worker: str) -> None:
    """Remove a worker."""
    await _run(runner, WITHDRAW, worker)


async def workers(runner: ScriptRunner, now: Moment) -> list[WorkerInfo]:
    """Return the workers that have not expired; what cannot be read, as if it were not there."""
    index, announced = runner.keys.workers
    ids = await runner.link.command("ZRANGEBYSCORE", index, f"({now!r}", "+inf")
    found: list[WorkerInfo] = []
    for chunk in chunks(ids, AT_ONCE):
        stored = await runner.link.command("HMGET", announced, *chunk)
        found += [info for info in map(_read, stored) if info is not None]
    return in_order(found)


async def _run(runner: ScriptRunner, script: Script, *words: Arg) -> None:
    await runner.link.run(script, [ScriptCall(runner.keys.workers, words)])


def _read(stored: bytes | None) -> WorkerInfo | None:
    try:
        return None if stored is None else _decode(stored)
    except (MsgspecError, RecursionError, ValueError):
        # somebody's edit, or of a newer qcore that has left out what this one needs
        return None
